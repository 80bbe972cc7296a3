from django.db import migrations


class Migration(migrations.Migration):
    """The panel's sessions were kept in this table, with the ids of people; now signed cookies hold them."""

    dependencies = [
        ("accounts", "0008_lists_in_order"),
    ]

    operations = [
        migrations.RunSQL("DROP TABLE IF EXISTS django_session", migrations.RunSQL.noop),
    ]
