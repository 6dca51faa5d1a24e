import { type FormEvent, useState } from "react";
import { sentence } from "../../api/error";
import { ChannelType, type Id, type Thread } from "../../api/types";
import { Permission } from "../../state/permissions";
import { displayName, mayInChannel, mayRunThread } from "../../state/select";
import { Failure } from "../auth/AuthScreen";
import { useApp, useModel } from "../context";
import dialogs from "../guild/dialogs.module.css";
import { Avatar } from "../parts/Avatar";
import { Button, IconButton } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { CloseIcon } from "../parts/icons";
import rows from "../settings/settings.module.css";
import { useLoaded } from "../settings/useLoaded";

/** Who is in a thread; those who write in it may bring others in. */
export function ThreadMembers({ guildId, thread, onClose }: { guildId: Id; thread: Thread; onClose: () => void }) {
  const app = useApp();
  const { value, failure, reload } = useLoaded(() => app.threads.threadMembers(thread.id));
  const [name, setName] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const isAwake = !thread.thread_metadata.archived;
  const mayAdd = useModel((model) => isAwake && mayInChannel(model, thread.id, Permission.sendMessages));
  const mayRemove = useModel((model) => isAwake && (thread.type === ChannelType.privateThread ? mayRunThread(model, thread) : mayInChannel(model, thread.id, Permission.manageThreads)));
  const attempt = async (request: () => Promise<unknown>) => {
    setProblem(null);
    try {
      await request();
      await reload();
    } catch (error) {
      setProblem(sentence(error));
    }
  };
  const add = (event: FormEvent) => {
    event.preventDefault();
    const wanted = name.trim().replace(/^@/, "").toLowerCase();
    const model = app.store.getState();
    const found = Object.keys(model.members[guildId] ?? {}).find((id) => model.users[id]?.username.toLowerCase() === wanted || displayName(model, guildId, id).toLowerCase() === wanted);
    if (found === undefined) {
      setProblem("No member of this guild that this page knows has that name.");
      return;
    }
    setName("");
    void attempt(() => app.threads.addToThread(thread.id, found));
  };
  return (
    <Dialog title={`In ${thread.name}`} onClose={onClose}>
      <div className={dialogs.form}>
        {mayAdd && (
          <form className={rows.inline} onSubmit={add}>
            <Field label="Bring someone in" required placeholder="name" value={name} data-testid="thread-add-name" onChange={(event) => setName(event.target.value)} />
            <Button type="submit" data-testid="thread-add">
              Add
            </Button>
          </form>
        )}
        <Failure text={problem ?? failure} />
        <ul className={rows.rows}>
          {value?.map(({ user_id, member }) => {
            const shown = member?.nick ?? member?.user.global_name ?? member?.user.username ?? "Someone";
            return (
              <li key={user_id} data-testid="thread-member">
                <Avatar id={user_id} name={shown} hash={member?.user.avatar ?? null} size={32} />
                <span>{shown}</span>
                {mayRemove && (
                  <IconButton label={`Remove ${shown}`} onClick={() => void attempt(() => app.threads.removeFromThread(thread.id, user_id))}>
                    <CloseIcon size={16} />
                  </IconButton>
                )}
              </li>
            );
          })}
        </ul>
        {value?.length === 0 && <p>Nobody is in this thread.</p>}
      </div>
    </Dialog>
  );
}
