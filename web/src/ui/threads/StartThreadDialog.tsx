import { useState } from "react";
import { ChannelType, type Id, type Message } from "../../api/types";
import { Permission } from "../../state/permissions";
import { mayInChannel } from "../../state/select";
import { Failure } from "../auth/AuthScreen";
import { summary } from "../chat/ReplyLine";
import { useApp, useModel } from "../context";
import dialogs from "../guild/dialogs.module.css";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { LockIcon, ThreadIcon } from "../parts/icons";
import { useSubmit } from "../parts/useSubmit";

const MAX_NAME = 100;

/** Names a new thread: one that branches off from a message, or one that stands by itself. */
export function StartThreadDialog({ guildId, channelId, from, onClose }: { guildId: Id; channelId: Id; from: Message | null; onClose: () => void }) {
  const app = useApp();
  const [name, setName] = useState("");
  const beginning = useModel((model) => (from === null ? "" : summary(from, model, guildId).slice(0, 140)));
  const mayOpen = useModel((model) => mayInChannel(model, channelId, Permission.createPublicThreads));
  const mayClose = useModel((model) => model.channels[channelId]?.type === ChannelType.text && mayInChannel(model, channelId, Permission.createPrivateThreads));
  const open = useModel((model) => (model.channels[channelId]?.type === ChannelType.announcement ? ChannelType.announcementThread : ChannelType.publicThread));
  const [isPrivate, setPrivate] = useState(!mayOpen);
  const form = useSubmit(["name"], async () => {
    await app.startThread(guildId, channelId, from, name.trim(), isPrivate ? ChannelType.privateThread : open);
    onClose();
  });
  return (
    <Dialog title="Start a thread" onClose={onClose}>
      <form className={dialogs.form} onSubmit={form.onSubmit}>
        {from !== null && <p className={dialogs.note}>It begins with: {beginning}</p>}
        {from === null && mayOpen && mayClose && (
          <fieldset className={dialogs.kinds}>
            <legend className="visually-hidden">Kind of thread</legend>
            <label>
              <input type="radio" name="kind" checked={!isPrivate} onChange={() => setPrivate(false)} />
              <ThreadIcon />
              <span>
                Public
                <small>All of the channel may read</small>
              </span>
            </label>
            <label>
              <input type="radio" name="kind" checked={isPrivate} onChange={() => setPrivate(true)} data-testid="thread-private" />
              <LockIcon />
              <span>
                Private
                <small>Only those you bring in</small>
              </span>
            </label>
          </fieldset>
        )}
        <Field label="Name" required maxLength={MAX_NAME} placeholder="What is it about?" value={name} error={form.fields["name"]} data-testid="thread-name" onChange={(event) => setName(event.target.value)} />
        <Failure text={form.failure} />
        <Button type="submit" disabled={form.isBusy} data-testid="thread-start">
          Start it
        </Button>
      </form>
    </Dialog>
  );
}
