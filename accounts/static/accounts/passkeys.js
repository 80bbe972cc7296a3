// Shows the forms whose button uses a passkey, which are hidden without this script. On a click, the browser creates or
// uses a passkey as data-options says, and the form sends its answer.
"use strict";

const CEREMONIES = {
  create: (options) => {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    return navigator.credentials.create({ publicKey });
  },
  get: (options) => {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    return navigator.credentials.get({ publicKey });
  },
};

async function answer(form) {
  const options = JSON.parse(form.dataset.options);
  if (performance.now() > options.timeout) {  // the server would reject the challenge, which is as old as the page
    if (form.dataset.expired) form.submit();  // this page answers a form, so it can't be loaded again
    else location.replace(location.href);
    return;
  }
  const alert = form.querySelector("[role=alert]");
  alert.hidden = true;
  try {
    const credential = await CEREMONIES[form.dataset.passkey](options);
    form.elements.passkey.value = JSON.stringify(credential.toJSON());
    form.submit();
  } catch (error) {
    alert.textContent = error.name === "InvalidStateError" ? form.dataset.known : form.dataset.failed;
    alert.hidden = false;
  }
}

if (window.PublicKeyCredential && PublicKeyCredential.parseRequestOptionsFromJSON) {
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      if (!form.dataset.options) return;  // the server asks for a fresh login first
      event.preventDefault();
      answer(form);
    });
  }
}
