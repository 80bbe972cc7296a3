"""Renames two fields of DeliveryHold. The columns keep their names, so older processes can run beside newer ones."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('notifications', '0003_plain_names'),
    ]

    operations = [
        migrations.AlterField(
            model_name='deliveryhold',
            name='refused',
            field=models.UUIDField(db_column='refused', help_text='The email that was rejected last.'),
        ),
        migrations.RenameField(model_name='deliveryhold', old_name='refused', new_name='rejected'),
        migrations.AlterField(
            model_name='deliveryhold',
            name='refusals',
            field=models.PositiveIntegerField(db_column='refusals', default=1),
        ),
        migrations.RenameField(model_name='deliveryhold', old_name='refusals', new_name='rejections'),
    ]
