import accounts.models.user
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0017_deletion_in_slices'),
    ]

    operations = [
        migrations.AlterField(
            model_name='user',
            name='locale',
            field=models.CharField(blank=True, choices=accounts.models.user.languages, default='', max_length=5, verbose_name='language'),
        ),
        migrations.AlterField(
            model_name='onetimetoken',
            name='email',
            field=models.CharField(help_text='The address that the email goes to, as the user wrote it.', max_length=254),
        ),
        migrations.AlterField(
            model_name='onetimetoken',
            name='ended_at',
            field=models.DateTimeField(help_text='When a newer request or another change ended it.', null=True),
        ),
        migrations.AlterField(
            model_name='onetimetoken',
            name='request',
            field=models.UUIDField(help_text='The request for the link. All attempts to send its email share this.'),
        ),
        migrations.AlterField(
            model_name='role',
            name='permissions_gained_at',
            field=models.DateTimeField(editable=False, help_text='Links emailed before this time to users of the role no longer work.', null=True),
        ),
        migrations.AlterField(
            model_name='session',
            name='expires_at',
            field=models.DateTimeField(help_text='The latest time, however often the session is used.', verbose_name='expires'),
        ),
        migrations.AlterField(
            model_name='session',
            name='idle_expires_at',
            field=models.DateTimeField(help_text='When the session expires unless it is used.'),
        ),
        migrations.AlterField(
            model_name='session',
            name='ip',
            field=models.GenericIPAddressField(blank=True, null=True, verbose_name='IP address'),
        ),
        migrations.AlterField(
            model_name='session',
            name='is_moving',
            field=models.BooleanField(default=False, help_text='The user requested an email change here; the session survives the change.'),
        ),
        migrations.AlterField(
            model_name='session',
            name='rotations',
            field=models.JSONField(default=list, help_text='Epoch seconds of the exchanges within the last grace period.'),
        ),
        migrations.AlterField(
            model_name='user',
            name='deletion_began_at',
            field=models.DateTimeField(editable=False, help_text="When the deletion of the user's data began; see accounts.deletion.", null=True),
        ),
        migrations.AlterField(
            model_name='user',
            name='email',
            field=models.EmailField(help_text='As the user writes it.', max_length=254, verbose_name='email address'),
        ),
        migrations.AlterField(
            model_name='user',
            name='has_unproven_password',
            field=models.BooleanField(default=False, editable=False, help_text='The password was set at registration, and the address has not been confirmed since.'),
        ),
        migrations.AlterField(
            model_name='user',
            name='invitation_ended_at',
            field=models.DateTimeField(editable=False, help_text='When it was revoked, or a change ended all links of the user.', null=True),
        ),
        migrations.AlterField(
            model_name='user',
            name='search_text',
            field=accounts.models.user.SearchText(default='', editable=False, help_text='The text that a search reads; see accounts.search.'),
        ),
        migrations.AlterField(
            model_name='auditchain',
            name='hash',
            field=models.CharField(help_text='HMAC of this row.', max_length=64),
        ),
        migrations.AlterField(
            model_name='auditchain',
            name='pruned',
            field=models.PositiveBigIntegerField(default=0, help_text='The position of its last pruned event.'),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='chain',
            field=models.PositiveSmallIntegerField(help_text="The number of the event's chain."),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='has_request_in_digest',
            field=models.BooleanField(default=True, help_text='If false, the hash itself covers the request id, which is kept.'),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='hash',
            field=models.CharField(help_text='HMAC of this event and the hash of the one before.', max_length=64),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='ip',
            field=models.GenericIPAddressField(blank=True, null=True, verbose_name='IP address'),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='origin_digest',
            field=models.CharField(help_text='Digest of the salt, IP address, device and request id.', max_length=64),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='origin_salt',
            field=models.CharField(blank=True, help_text='Erased when the user is deleted.', max_length=32),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='position',
            field=models.PositiveBigIntegerField(help_text='The position in its chain, from 1.'),
        ),
        migrations.AlterField(
            model_name='auditregistry',
            name='chains',
            field=models.JSONField(default=dict, help_text='For the number of each chain, the position and the hash of an event in it.'),
        ),
        migrations.AlterField(
            model_name='auditregistry',
            name='hash',
            field=models.CharField(default='', help_text='HMAC of this row.', max_length=64),
        ),
        migrations.AlterField(
            model_name='importrun',
            name='lines',
            field=models.PositiveBigIntegerField(default=0, help_text='The number of records of the file that are done.'),
        ),
        migrations.AlterField(
            model_name='importrun',
            name='report_bytes',
            field=models.PositiveBigIntegerField(default=0, help_text='The length of the report on these records.'),
        ),
        migrations.AlterField(
            model_name='ratebucket',
            name='key',
            field=models.CharField(help_text="HMAC of the limit's name and the attempt's key.", max_length=64, primary_key=True, serialize=False),
        ),
        migrations.AlterField(
            model_name='ratebucket',
            name='noted',
            field=models.BooleanField(default=False, help_text='Whether an audit event has recorded a rejected attempt of this window.'),
        ),
        migrations.AlterField(
            model_name='ratebucket',
            name='resets_at',
            field=models.BigIntegerField(help_text='When the window ends, in epoch milliseconds.'),
        ),
        migrations.AlterField(
            model_name='ratebucket',
            name='subject',
            field=models.CharField(blank=True, default='', help_text='HMAC of the account that the attempt is about.', max_length=64),
        ),
    ]
