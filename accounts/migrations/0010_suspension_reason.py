from django.db import migrations, models


def move_reasons(apps, schema_editor):
    """Copies the reasons of users who are suspended now. The events keep theirs until they are pruned, as their hashes
    cover them."""
    User, AuditEvent = apps.get_model("accounts", "User"), apps.get_model("accounts", "AuditEvent")
    for user in User.objects.filter(is_active=False).iterator():
        event = AuditEvent.objects.filter(user_id=user.pk, kind="user:suspended").order_by("-id").first()
        reason = event.data.get("reason", "") if event else ""
        if reason:
            one_line = "".join(character for character in reason if character.isprintable())
            User.objects.filter(pk=user.pk).update(suspension_reason=one_line)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0009_panel_sessions_in_cookies'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='user',
            name='user_active_has_no_end',
        ),
        migrations.AddField(
            model_name='user',
            name='suspension_reason',
            field=models.CharField(blank=True, default='', editable=False, max_length=250),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(('is_active', False), models.Q(('suspended_until__isnull', True), ('suspension_reason', '')), _connector='OR'), name='user_active_is_not_suspended'),
        ),
        migrations.RunPython(move_reasons, migrations.RunPython.noop),
    ]
