"""Lists: filtering, ordering and paging through many rows."""
