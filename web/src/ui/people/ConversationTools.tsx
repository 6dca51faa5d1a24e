import { useState } from "react";
import { ChannelType, type PrivateChannel } from "../../api/types";
import { IconButton } from "../parts/Button";
import { InviteIcon, PencilIcon } from "../parts/icons";
import { AddPeopleDialog, RenameDialog } from "./dialogs";

/** What can be done with a conversation, in its header. */
export function ConversationTools({ channel }: { channel: PrivateChannel }) {
  const [dialog, setDialog] = useState<"add" | "rename" | null>(null);
  const close = () => setDialog(null);
  if (channel.type !== ChannelType.group) return null;
  return (
    <>
      <IconButton label="Add people" data-testid="group-add" onClick={() => setDialog("add")}>
        <InviteIcon />
      </IconButton>
      <IconButton label="Rename" data-testid="group-rename" onClick={() => setDialog("rename")}>
        <PencilIcon />
      </IconButton>
      {dialog === "add" && <AddPeopleDialog channel={channel} onClose={close} />}
      {dialog === "rename" && <RenameDialog channel={channel} onClose={close} />}
    </>
  );
}
