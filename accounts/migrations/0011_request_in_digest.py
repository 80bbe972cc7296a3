from django.db import migrations, models


class Migration(migrations.Migration):
    """The events that are there were written with the id of their request in the hash itself."""

    dependencies = [
        ('accounts', '0010_suspension_reason'),
    ]

    operations = [
        migrations.AddField(
            model_name='auditevent',
            name='has_request_in_digest',
            field=models.BooleanField(default=False, help_text="False: the hash itself covers the request's id, which stays."),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='has_request_in_digest',
            field=models.BooleanField(default=True, help_text="False: the hash itself covers the request's id, which stays."),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='origin_digest',
            field=models.CharField(help_text='Of the salt, address, device and request.', max_length=64),
        ),
    ]
