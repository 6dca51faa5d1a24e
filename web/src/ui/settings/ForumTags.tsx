import { useState } from "react";
import { type Channel, type ForumTag, type Id, REQUIRE_TAG } from "../../api/types";
import { Failure } from "../auth/AuthScreen";
import { useApp } from "../context";
import dialogs from "../guild/dialogs.module.css";
import { Button, IconButton } from "../parts/Button";
import { TrashIcon } from "../parts/icons";
import { useSubmit } from "../parts/useSubmit";
import own from "./settings.module.css";

/** Tags that a forum may have. */
const MAX_TAGS = 20;
const MAX_NAME = 20;

/** A tag in the form: one that the forum has, or one that is yet to get its id. */
interface Draft {
  key: number;
  id: Id | null;
  tag: Omit<ForumTag, "id">;
}

const NEW_TAG = { name: "", moderated: false, emoji_id: null, emoji_name: null };

/** What posts of a forum can be marked with, and whether they have to be. */
export function ForumTags({ channel }: { channel: Channel }) {
  const app = useApp();
  const [tags, setTags] = useState<readonly Draft[]>(() => (channel.available_tags ?? []).map((tag, key) => ({ key, id: tag.id, tag })));
  const [nextKey, setNextKey] = useState(tags.length);
  const [isRequired, setRequired] = useState(((channel.flags ?? 0) & REQUIRE_TAG) !== 0);
  const [isSaved, setSaved] = useState(false);
  const form = useSubmit([], async () => {
    const available = tags.map(({ id, tag: { name, moderated, emoji_id, emoji_name } }) => {
      const tag = { name: name.trim(), moderated, emoji_id, emoji_name };
      return id === null ? tag : { id, ...tag };
    });
    await app.guilds.updateChannel(channel.id, { available_tags: available, flags: isRequired ? REQUIRE_TAG : 0 });
    setSaved(true);
  });
  const change = ({ key, id, tag }: Draft, part: Partial<Draft["tag"]>) => {
    setSaved(false);
    const changed = { key, id, tag: { ...tag, ...part } };
    setTags(tags.map((other) => (other.key === key ? changed : other)));
  };
  const add = () => {
    setTags([...tags, { key: nextKey, id: null, tag: NEW_TAG }]);
    setNextKey(nextKey + 1);
  };
  return (
    <form className={dialogs.form} onSubmit={form.onSubmit}>
      {tags.length === 0 && <p className={own.empty}>No tags yet. With tags, people find the posts about one thing.</p>}
      <ul className={own.rows}>
        {tags.map((draft) => (
          <li key={draft.key}>
            <input className={own.name} aria-label="Name of the tag" required maxLength={MAX_NAME} value={draft.tag.name} data-testid="tag-name" onChange={(event) => change(draft, { name: event.target.value })} />
            {draft.tag.emoji_id === null && (
              <input className={own.emoji} aria-label="Emoji of the tag" placeholder="☺" value={draft.tag.emoji_name ?? ""} onChange={(event) => change(draft, { emoji_name: event.target.value.trim() === "" ? null : event.target.value.trim() })} />
            )}
            <label>
              <input type="checkbox" checked={draft.tag.moderated} onChange={(event) => change(draft, { moderated: event.target.checked })} />
              moderators only
            </label>
            <IconButton label={`Remove ${draft.tag.name}`} onClick={() => setTags(tags.filter((other) => other.key !== draft.key))}>
              <TrashIcon size={18} />
            </IconButton>
          </li>
        ))}
      </ul>
      <div>
        <Button look="quiet" disabled={tags.length >= MAX_TAGS} data-testid="tag-add" onClick={add}>
          Another tag
        </Button>
      </div>
      <label>
        <input type="checkbox" checked={isRequired} data-testid="tag-required" onChange={(event) => setRequired(event.target.checked)} /> Every post bears a tag
      </label>
      <Failure text={form.failure} />
      <div className={own.inline}>
        <Button type="submit" disabled={form.isBusy} data-testid="tags-save">
          Save
        </Button>
        {isSaved && <span role="status">Saved.</span>}
      </div>
    </form>
  );
}
