import { type FormEvent, useState } from "react";
import { sentence } from "../../api/error";
import { type ForumTag, type Id, REQUIRE_TAG } from "../../api/types";
import { Permission } from "../../state/permissions";
import { mayInChannel } from "../../state/select";
import { Failure } from "../auth/AuthScreen";
import { MAX_CONTENT } from "../chat/limits";
import { useApp, useModel } from "../context";
import dialogs from "../guild/dialogs.module.css";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import fields from "../parts/Field.module.css";
import { MAX_APPLIED, TagPicker } from "./Tags";

const NO_TAGS: readonly ForumTag[] = [];

/** A new post of a forum: its title, its first message with files, its tags. */
export function PostDialog({ guildId, channelId, onClose }: { guildId: Id; channelId: Id; onClose: () => void }) {
  const app = useApp();
  const tags = useModel((model) => model.channels[channelId]?.available_tags ?? NO_TAGS);
  const needsTag = useModel((model) => ((model.channels[channelId]?.flags ?? 0) & REQUIRE_TAG) !== 0);
  const may = useModel((model) => ({ attach: mayInChannel(model, channelId, Permission.attachFiles), manage: mayInChannel(model, channelId, Permission.manageThreads) }));
  const [title, setTitle] = useState("");
  const [content, setContent] = useState("");
  const [chosen, setChosen] = useState<readonly Id[]>([]);
  const [files, setFiles] = useState<readonly File[]>([]);
  const [failure, setFailure] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      await app.post(guildId, channelId, { title: title.trim(), content: content.trim(), tags: chosen, files });
      onClose();
    } catch (error) {
      setFailure(sentence(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title="New post" isWide onClose={onClose}>
      <form className={dialogs.form} onSubmit={(event) => void submit(event)}>
        <Field label="Title" required maxLength={100} value={title} data-testid="post-title" onChange={(event) => setTitle(event.target.value)} />
        <div className={fields.field}>
          <label htmlFor="post-text">Text</label>
          <textarea id="post-text" required={files.length === 0} rows={6} maxLength={MAX_CONTENT} value={content} data-testid="post-text" onChange={(event) => setContent(event.target.value)} />
        </div>
        {may.attach && (
          <div className={fields.field}>
            <label htmlFor="post-files">Files</label>
            <input id="post-files" type="file" multiple data-testid="post-files" onChange={(event) => setFiles([...(event.target.files ?? [])])} />
          </div>
        )}
        {tags.length > 0 && (
          <div className={fields.field}>
            <span>{needsTag ? "Tags (at least one)" : "Tags"}</span>
            <TagPicker
              label="Tags"
              tags={tags}
              chosen={chosen}
              isFixed={(tag) => (tag.moderated && !may.manage) || (chosen.length >= MAX_APPLIED && !chosen.includes(tag.id))}
              onChange={setChosen}
            />
          </div>
        )}
        <Failure text={failure} />
        <Button type="submit" disabled={isBusy || (needsTag && chosen.length === 0)} data-testid="post-submit">
          Post it
        </Button>
      </form>
    </Dialog>
  );
}
