"""pytest-xdist runs the tests of a group in one process, so that they share its services."""

import pytest


@pytest.mark.xdist_group("one-group")
def test_a_test_has_its_group_in_its_id_for_xdist(request: pytest.FixtureRequest) -> None:
    """The scheduler knows nothing else of the tests. Without xdist, there are no groups."""
    is_grouped = request.config.getoption("loadgroup", default=False)
    assert request.node.nodeid.endswith("@one-group") == is_grouped
