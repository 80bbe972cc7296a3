"""The type of the panel's actions: buttons of a page, and actions of a list, which ask for confirmation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django import forms

from accounts.admin.forms import RoleField
from accounts.models import User

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

Target = TypeVar("Target")


@dataclass(frozen=True)
class Action(Generic[Target]):
    """A button of a page, an action of a list, or both.

    `run` takes its target and, by keyword, the actor and the fields of the form. `is_applicable` tells whether it
    would change the target. `announcement` says on the confirmation page how many will change; `done` reports the
    result. `permission` decides who gets the button. A list checks the permissions of its methods instead. An action
    of a page may need a fresh login, and may be missing from one's own page.
    """

    name: str
    label: "StrPromise"
    run: Callable[..., Any]
    is_applicable: Callable[[Target], bool] = lambda target: True
    announcement: Any = ""
    done: Any = ""
    help: "StrPromise | str" = ""
    permission: str = "users.change"
    form: type[forms.Form] = forms.Form
    needs_fresh_login: bool = False
    is_for_oneself: bool = True

    def form_for(self, actor: User, data: Any = None) -> forms.Form:
        """Returns the form to fill in before the action, with the roles that the actor may assign.

        The ids of its fields start with the name of the action: a page may have several forms.
        """
        form = self.form(data, auto_id=f"{self.name}-%s", label_suffix="")
        for field in form.fields.values():
            if isinstance(field, RoleField):
                field.offer_to(actor)
        return form
