import { type FormEvent, useState } from "react";
import { sentence } from "../../api/error";
import type { Id, Message } from "../../api/types";
import { parseSearch } from "../../state/search";
import { useApp, useModel } from "../context";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { MessageCards } from "./MessageCards";
import styles from "./SearchPanel.module.css";

interface Found {
  total: number;
  messages: readonly Message[];
  /** How many the request skipped. */
  offset: number;
}

const PAGE = 25;

/** Searches the messages of a guild that this person may read. */
export function SearchPanel({ guildId, onClose }: { guildId: Id; onClose: () => void }) {
  const app = useApp();
  const guildName = useModel((model) => model.guilds[guildId]?.name ?? "");
  const [text, setText] = useState("");
  const [found, setFound] = useState<Found | null>(null);
  const [note, setNote] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const search = async (offset: number) => {
    const query = parseSearch(app.store.getState(), guildId, text);
    if (query.unknown.length > 0 || query.isEmpty) {
      setNote(query.isEmpty && query.unknown.length === 0 ? "Type a word or a filter." : `Nothing here fits ${query.unknown.join(", ")}.`);
      return;
    }
    setBusy(true);
    setNote(null);
    try {
      const { total_results, messages } = await app.search(guildId, query.params, offset);
      setFound({ total: total_results, messages, offset });
    } catch (error) {
      setNote(sentence(error));
    }
    setBusy(false);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void search(0);
  };
  return (
    <Dialog isWide title={`Search in ${guildName}`} onClose={onClose}>
      <form className={styles.form} role="search" onSubmit={submit}>
        <input type="search" aria-label="Words and filters" placeholder="words, from:name, in:channel, has:image, before:2026-11-01" value={text} data-testid="search-text" onChange={(event) => setText(event.target.value)} />
        <Button type="submit" disabled={isBusy} data-testid="search-submit">
          Search
        </Button>
      </form>
      {note !== null && <p role="alert">{note}</p>}
      {found !== null && (
        <>
          <p className={styles.count} role="status" data-testid="search-count">
            {found.total === 0 ? "Nothing was found." : `${found.total} found`}
          </p>
          <MessageCards
            guildId={guildId}
            messages={found.messages}
            testId="search-result"
            onOpen={(message) => {
              onClose();
              void app.showMessage(guildId, message);
            }}
          />
          <div className={styles.pages}>
            {found.offset > 0 && (
              <Button look="quiet" disabled={isBusy} onClick={() => void search(found.offset - PAGE)}>
                Newer
              </Button>
            )}
            {found.offset + PAGE < found.total && (
              <Button look="quiet" disabled={isBusy} onClick={() => void search(found.offset + PAGE)}>
                Older
              </Button>
            )}
          </div>
        </>
      )}
    </Dialog>
  );
}
