// Uses the API through openapi-fetch with the types of openapi-typescript: node fetch.js URL EMAIL PASSWORD NEW_PASSWORD
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [baseUrl, email, password, newPassword] = process.argv.slice(2) as [string, string, string, string];
const client = createClient<paths>({ baseUrl });

async function logIn(secret: string): Promise<string> {
  const { data } = await client.POST("/api/v1/auth/login/", { body: { email, password: secret } });
  assert(data);
  const { data: renewed } = await client.POST("/api/v1/auth/token/refresh/", { body: { refresh: data.refresh } });
  assert(renewed);
  return renewed.access;
}

let headers = { Authorization: `Bearer ${await logIn(password)}` };
const changed = await client.PATCH("/api/v1/users/me/", { headers, body: { full_name: "Ana Fetch" } });
assert.equal(changed.data?.full_name, "Ana Fetch");
const body = { current_password: password, new_password: newPassword };
const replaced = await client.POST("/api/v1/auth/password/change/", { headers, body });
assert.equal(replaced.response.status, 204);
const out = await client.POST("/api/v1/auth/logout/", { headers, body: {} });
assert.equal(out.response.status, 204);
const stale = await client.GET("/api/v1/users/me/", { headers });
assert.equal(stale.error?.code, "token_not_valid");

headers = { Authorization: `Bearer ${await logIn(newPassword)}` };
const left = await client.DELETE("/api/v1/users/me/", { headers, body: { current_password: newPassword } });
assert.equal(left.response.status, 204);
const gone = await client.POST("/api/v1/auth/login/", { body: { email, password: newPassword } });
assert.equal(gone.error?.code, "invalid_credentials");
