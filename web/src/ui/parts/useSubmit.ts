// A form's one request: whether it runs, and what it answered when it failed.

import { type FormEvent, useState } from "react";
import { ApiError, type FieldErrors, sentence } from "../../api/error";

interface Submit {
  isBusy: boolean;
  fields: FieldErrors;
  /** The sentence for errors that belong to no field of this form. */
  failure: string | null;
  onSubmit: (event: FormEvent) => void;
}

export function useSubmit(shownFields: readonly string[], request: () => Promise<void>): Submit {
  const [isBusy, setBusy] = useState(false);
  const [fields, setFields] = useState<FieldErrors>({});
  const [failure, setFailure] = useState<string | null>(null);
  const run = async () => {
    setBusy(true);
    setFields({});
    setFailure(null);
    try {
      await request();
    } catch (error) {
      const found = error instanceof ApiError ? error.fields : {};
      setFields(found);
      if (!shownFields.some((field) => field in found)) setFailure(sentence(error));
    } finally {
      setBusy(false);
    }
  };
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    if (!isBusy) void run();
  };
  return { isBusy, fields, failure, onSubmit };
}
