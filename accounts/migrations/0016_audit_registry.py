import json

from django.conf import settings
from django.db import migrations, models
from django.utils.crypto import salted_hmac

CHAINS_AT_FIRST = 16  # on PostgreSQL, so that the first writers need make none; SQLite has one writer at a time


def seal(values):
    message = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return salted_hmac("accounts.audit_chain", message, secret=settings.SECRET_KEY, algorithm="sha256").hexdigest()


def note_the_chains(apps, schema_editor):
    """Lists the existing chains without checking them: `audit verify` of the previous version does that."""
    chain_model, registry_model = apps.get_model("accounts", "AuditChain"), apps.get_model("accounts", "AuditRegistry")
    number_at_first = CHAINS_AT_FIRST if schema_editor.connection.vendor == "postgresql" else 1
    known = set(chain_model.objects.values_list("number", flat=True))
    for number in set(range(number_at_first)) - known:
        chain_model.objects.create(number=number, hash=seal([number, 0, "", 0, ""]))
    chains = {str(chain.number): [chain.length, chain.head] for chain in chain_model.objects.all()}
    registry_model.objects.create(pk=1, chains=chains, hash=seal([chains]))


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0015_permissions_gained'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditRegistry',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('chains', models.JSONField(default=dict, help_text='For each number of a chain, the position and the hash of an event that it holds.')),
                ('hash', models.CharField(default='', help_text='Of this row.', max_length=64)),
            ],
        ),
        migrations.RunPython(note_the_chains, migrations.RunPython.noop),
    ]
