import { useEffect, useEffectEvent, useState } from "react";
import { sentence } from "../../api/error";

export interface Loaded<T> {
  value: T | null;
  failure: string | null;
  reload: () => Promise<void>;
}

/** What a request answers, asked when the component appears and again on demand. */
export function useLoaded<T>(load: () => Promise<T>): Loaded<T> {
  const [value, setValue] = useState<T | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const reload = async () => {
    try {
      setValue(await load());
      setFailure(null);
    } catch (error) {
      setFailure(sentence(error));
    }
  };
  const first = useEffectEvent(reload);
  // Nothing is set before the answer is there.
  // oxlint-disable-next-line react/set-state-in-effect
  useEffect(() => void first(), []);
  return { value, failure, reload };
}
