"""The texts of emails: the catalogue of kinds, composing an email for its recipient, and rendering its templates."""
