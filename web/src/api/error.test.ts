import { expect, it } from "vitest";
import { flattenErrors, readError, sentence } from "./error";

it("flattens nested form errors to dotted paths with their first sentence", () => {
  const tree = { login: { _errors: [{ code: "INVALID_LOGIN", message: "Wrong." }] }, embeds: { "0": { title: { _errors: [{ code: "X", message: "Long." }] } } } };
  expect(flattenErrors(tree)).toEqual({ login: "Wrong.", "embeds.0.title": "Long." });
});

it("reads the API's error form, and says the field's sentence first", () => {
  const error = readError(400, { code: 50035, message: "Invalid Form Body", errors: { name: { _errors: [{ message: "Too short." }] } } }, null);
  expect([error.status, error.code, sentence(error)]).toEqual([400, 50035, "Too short."]);
});

it("reads how long to wait from the body, or else from the header, and only for 429", () => {
  expect(readError(429, { message: "Slow down", retry_after: 0.35 }, "1").retryAfterMs).toBe(350);
  expect(readError(429, undefined, "2").retryAfterMs).toBe(2_000);
  expect(readError(500, { message: "x", retry_after: 3 }, null).retryAfterMs).toBeNull();
});

it.each([undefined, "<html>", [1], null])("makes a sentence of a body that is not the API's: %j", (body) => {
  expect(readError(502, body, null).message).toBe("The server answered 502.");
});
