// Uses the API through openapi-generator's client for axios: node axios.js URL EMAIL PASSWORD NEW_PASSWORD
import assert from "node:assert/strict";
import { isAxiosError } from "axios";
import { AuthApi, Configuration, UsersApi } from "./generated/index.js";

const [basePath, email, password, newPassword] = process.argv.slice(2) as [string, string, string, string];
const open = new AuthApi(new Configuration({ basePath }));

async function logIn(secret: string): Promise<Configuration> {
  const pair = await open.logIn({ email, password: secret });
  const renewed = await open.exchangeARefreshToken({ refresh: pair.data.refresh });
  return new Configuration({ basePath, accessToken: renewed.data.access });
}

async function codeOf(refused: Promise<unknown>): Promise<string> {
  const error = await refused.then(() => assert.fail("was not refused"), (reason: unknown) => reason);
  assert(isAxiosError(error));
  return error.response?.data.code;
}

let session = await logIn(password);
const changed = await new UsersApi(session).changeOnesOwnAccount({ full_name: "Ana Axios" });
assert.equal(changed.data.full_name, "Ana Axios");
const body = { current_password: password, new_password: newPassword };
assert.equal((await new AuthApi(session).changeThePassword(body)).status, 204);
assert.equal((await new AuthApi(session).logOut()).status, 204);
assert.equal(await codeOf(new UsersApi(session).seeOnesOwnAccount()), "token_not_valid");

session = await logIn(newPassword);
assert.equal((await new UsersApi(session).leave({ current_password: newPassword })).status, 204);
assert.equal(await codeOf(logIn(newPassword)), "invalid_credentials");
