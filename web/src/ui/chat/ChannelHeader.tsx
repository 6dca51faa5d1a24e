import { useState } from "react";
import { ChannelType, type Id } from "../../api/types";
import type { MembersToggle } from "../Shell";
import { placeName } from "../../state/select";
import { useModel } from "../context";
import { IconButton } from "../parts/Button";
import { AtIcon, BackIcon, HashIcon, PeopleIcon, PinIcon, SearchIcon, SpeakerIcon, ThreadIcon } from "../parts/icons";
import { ConversationTools } from "../people/ConversationTools";
import { StartThreadDialog } from "../threads/StartThreadDialog";
import { ThreadsDialog } from "../threads/ThreadsDialog";
import styles from "./ChannelHeader.module.css";
import { PinsPanel } from "./PinsPanel";
import { SearchPanel } from "./SearchPanel";

interface Props {
  guildId: Id | null;
  channelId: Id;
  members: MembersToggle;
  onBack: () => void;
}

export function ChannelHeader({ guildId, channelId, members, onBack }: Props) {
  const [panel, setPanel] = useState<"pins" | "search" | "threads" | "thread" | null>(null);
  const close = () => setPanel(null);
  const name = useModel((model) => placeName(model, channelId));
  const channel = useModel((model) => model.channels[channelId]);
  const conversation = useModel((model) => model.privateChannels[channelId]);
  const hasThreads = channel?.type === ChannelType.text || channel?.type === ChannelType.announcement;
  if (channel === undefined && conversation === undefined) return null;
  return (
    <header className={styles.header}>
      <IconButton className={styles.back} label="Guilds and channels" data-testid="back" onClick={onBack}>
        <BackIcon />
      </IconButton>
      {conversation !== undefined ? <AtIcon /> : channel?.type === ChannelType.voice ? <SpeakerIcon /> : <HashIcon />}
      <h1 data-testid="channel-title">{name}</h1>
      <p>{channel?.topic}</p>
      {conversation !== undefined && <ConversationTools channel={conversation} />}
      {guildId !== null && (
        <IconButton label="Search" data-testid="search" onClick={() => setPanel("search")}>
          <SearchIcon />
        </IconButton>
      )}
      {guildId !== null && hasThreads && (
        <IconButton label="Threads" data-testid="threads" onClick={() => setPanel("threads")}>
          <ThreadIcon />
        </IconButton>
      )}
      <IconButton label="Pinned messages" data-testid="pins" onClick={() => setPanel("pins")}>
        <PinIcon />
      </IconButton>
      <button type="button" hidden={guildId === null} className={styles.toggle} aria-pressed={members.isShown} aria-label="Member list" title="Member list" data-testid="members-toggle" onClick={members.toggle}>
        <PeopleIcon />
      </button>
      {panel === "search" && guildId !== null && <SearchPanel guildId={guildId} onClose={close} />}
      {panel === "threads" && guildId !== null && <ThreadsDialog guildId={guildId} channelId={channelId} onStart={() => setPanel("thread")} onClose={close} />}
      {panel === "thread" && guildId !== null && <StartThreadDialog guildId={guildId} channelId={channelId} from={null} onClose={close} />}
      {panel === "pins" && <PinsPanel guildId={guildId} channelId={channelId} onClose={close} />}
    </header>
  );
}
