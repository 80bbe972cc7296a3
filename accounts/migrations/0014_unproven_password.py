from django.db import migrations, models


def mark_unconfirmed_registrations(apps, schema_editor):
    User, AuditEvent = apps.get_model("accounts", "User"), apps.get_model("accounts", "AuditEvent")
    registered = AuditEvent.objects.filter(kind="user:registered").values("user_id")
    User.objects.filter(email_verified=False, pk__in=registered).update(has_unproven_password=True)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0013_import_report'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='has_unproven_password',
            field=models.BooleanField(default=False, editable=False, help_text='The password came with a registration, and nobody has confirmed the address since.'),
        ),
        migrations.RunPython(mark_unconfirmed_registrations, migrations.RunPython.noop),
    ]
