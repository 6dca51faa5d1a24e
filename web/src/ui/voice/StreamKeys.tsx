import { type FormEvent, useState } from "react";
import { sentence } from "../../api/error";
import type { Id, StreamKey } from "../../api/types";
import { Failure } from "../auth/AuthScreen";
import { useApp } from "../context";
import styles from "../guild/dialogs.module.css";
import { Button, IconButton } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { TrashIcon } from "../parts/icons";
import own from "../settings/settings.module.css";
import { useLoaded } from "../settings/useLoaded";
import { fullTime } from "../time";

/** The keys by which one's programs publish to a voice channel or watch it: made here, shown once, and taken back. */
export function StreamKeysDialog({ channelId, onClose }: { channelId: Id; onClose: () => void }) {
  const app = useApp();
  const { value: keys, failure, reload } = useLoaded(() => app.streamKeys(channelId));
  const [made, setMade] = useState<StreamKey | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const run = async (request: () => Promise<void>) => {
    try {
      await request();
      setProblem(null);
      await reload();
    } catch (error) {
      setProblem(sentence(error));
    }
  };
  const make = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => setMade(await app.createStreamKey(channelId)));
  };
  const remove = (key: StreamKey) =>
    void run(async () => {
      await app.deleteStreamKey(channelId, key.id);
      if (made?.id === key.id) setMade(null);
    });
  return (
    <Dialog isWide title="Stream from another program" onClose={onClose}>
      <form className={styles.form} onSubmit={make}>
        <p className={styles.note}>
          OBS and other programs publish here by WHIP, players watch by WHEP. A program is you: while it is in the call, this page is not. Keep keys to yourself.
        </p>
        {made === null ? (
          <Button type="submit" data-testid="stream-key-create">
            Make a key
          </Button>
        ) : (
          <>
            <Shown label="Server, to publish" value={made.whip_url} id="stream-key-whip" />
            <Shown label="Server, to watch" value={made.whep_url} id="stream-key-whep" />
            <Shown label="Bearer token, shown only now" value={made.key ?? ""} id="stream-key-secret" />
          </>
        )}
        <Failure text={problem ?? failure} />
        <ul className={own.rows}>
          {keys?.map((key) => (
            <li key={key.id} data-testid="stream-key">
              <span>
                {key.name}
                <small>made {fullTime(Date.parse(key.created_at))}</small>
              </span>
              <IconButton label="Delete this key; who uses it is disconnected" data-testid="stream-key-delete" onClick={() => remove(key)}>
                <TrashIcon />
              </IconButton>
            </li>
          ))}
        </ul>
      </form>
    </Dialog>
  );
}

/** A text to be copied by hand: the clipboard is closed to pages opened over plain HTTP. */
function Shown({ label, value, id }: { label: string; value: string; id: string }) {
  return (
    <label>
      {label}
      <div className={styles.link}>
        <input readOnly value={value} data-testid={id} onFocus={(event) => event.target.select()} />
      </div>
    </label>
  );
}
