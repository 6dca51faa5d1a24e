import { useState } from "react";
import { ChannelType, type ForumTag, type Id, PINNED_POST, type Thread } from "../../api/types";
import { Permission } from "../../state/permissions";
import { mayInChannel } from "../../state/select";
import { isPinned } from "../../state/threads";
import { useApp, useModel } from "../context";
import dialogs from "../guild/dialogs.module.css";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import fields from "../parts/Field.module.css";
import { MAX_APPLIED, TagPicker } from "./Tags";

const NO_TAGS: readonly ForumTag[] = [];

/** What a thread is called; of a post also its tags, and whether its forum shows it above the others. */
export function EditThreadDialog({ thread, onClose }: { thread: Thread; onClose: () => void }) {
  const app = useApp();
  const forum = useModel((model) => model.channels[thread.parent_id]);
  const mayManage = useModel((model) => mayInChannel(model, thread.parent_id, Permission.manageThreads));
  const [name, setName] = useState(thread.name);
  const [tags, setTags] = useState<readonly Id[]>(thread.applied_tags);
  const [isOnTop, setOnTop] = useState(isPinned(thread));
  const isPost = forum?.type === ChannelType.forum;
  const offered = forum?.available_tags ?? NO_TAGS;
  const save = async () => {
    const pinned = isOnTop === isPinned(thread) ? {} : { flags: isOnTop ? PINNED_POST : 0 };
    // What the forum has given up is not said again.
    const applied = offered.length === 0 ? {} : { applied_tags: tags.filter((id) => offered.some((tag) => tag.id === id)) };
    await app.changeThread(thread, { name: name.trim(), ...(isPost ? { ...applied, ...pinned } : {}) });
    onClose();
  };
  return (
    <Dialog title={isPost ? "The post" : "The thread"} onClose={onClose}>
      <form
        className={dialogs.form}
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <Field label="Name" required maxLength={100} value={name} data-testid="thread-name" onChange={(event) => setName(event.target.value)} />
        {isPost && offered.length > 0 && (
          <div className={fields.field}>
            <span>Tags</span>
            <TagPicker
              label="Tags"
              tags={offered}
              chosen={tags}
              isFixed={(tag) => (tag.moderated && !mayManage) || (tags.length >= MAX_APPLIED && !tags.includes(tag.id))}
              onChange={setTags}
            />
          </div>
        )}
        {isPost && mayManage && !thread.thread_metadata.archived && (
          <label>
            <input type="checkbox" checked={isOnTop} data-testid="post-pin" onChange={(event) => setOnTop(event.target.checked)} /> Above the other posts
          </label>
        )}
        <Button type="submit" disabled={name.trim() === ""} data-testid="thread-save">
          Save
        </Button>
      </form>
    </Dialog>
  );
}
