// What a failed request tells: the numbered code, the sentence, and the nested form errors flattened to one map.

export interface FieldErrors {
  /** Dotted path of the field ("login", "embeds.0.title") to its first sentence. */
  [field: string]: string;
}

export class ApiError extends Error {
  constructor(
    /** HTTP status; 0 when no answer came. */
    readonly status: number,
    readonly code: number,
    message: string,
    readonly fields: FieldErrors = {},
    /** How long the server asked to wait, only for 429. */
    readonly retryAfterMs: number | null = null,
  ) {
    super(message);
    this.name = "ApiError";
  }

  get isOffline(): boolean {
    return this.status === 0;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Flattens `{login: {_errors: [{message}]}}`, at any depth. */
export function flattenErrors(tree: unknown, path = ""): FieldErrors {
  const fields: FieldErrors = {};
  if (!isRecord(tree)) return fields;
  for (const [key, value] of Object.entries(tree)) {
    if (key === "_errors") {
      const first: unknown = Array.isArray(value) ? value[0] : undefined;
      if (isRecord(first) && typeof first["message"] === "string") fields[path] = first["message"];
    } else {
      Object.assign(fields, flattenErrors(value, path === "" ? key : `${path}.${key}`));
    }
  }
  return fields;
}

/** Reads an error body of the API; anything else (a proxy's page, an empty body) becomes a plain sentence. */
export function readError(status: number, body: unknown, retryAfterHeader: string | null): ApiError {
  if (!isRecord(body)) return new ApiError(status, 0, `The server answered ${status}.`, {}, headerMs(retryAfterHeader));
  const message = typeof body["message"] === "string" ? body["message"] : `The server answered ${status}.`;
  const code = typeof body["code"] === "number" ? body["code"] : 0;
  const bodyMs = typeof body["retry_after"] === "number" ? Math.ceil(body["retry_after"] * 1000) : null;
  return new ApiError(status, code, message, flattenErrors(body["errors"]), status === 429 ? (bodyMs ?? headerMs(retryAfterHeader)) : null);
}

function headerMs(header: string | null): number | null {
  const seconds = header === null ? Number.NaN : Number(header);
  return Number.isFinite(seconds) ? Math.ceil(seconds * 1000) : null;
}

/** One sentence for a person: the first field error says more than "Invalid Form Body". */
export function sentence(error: unknown): string {
  if (!(error instanceof ApiError)) return "Something went wrong in this page. Reload it and try again.";
  return Object.values(error.fields)[0] ?? error.message;
}
