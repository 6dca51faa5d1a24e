import { useState } from "react";
import { ChannelType, type Id } from "../../api/types";
import type { MembersToggle } from "../Shell";
import { useModel } from "../context";
import { IconButton } from "../parts/Button";
import { BackIcon, HashIcon, PeopleIcon, PinIcon, SpeakerIcon } from "../parts/icons";
import styles from "./ChannelHeader.module.css";
import { PinsPanel } from "./PinsPanel";

interface Props {
  guildId: Id;
  channelId: Id;
  members: MembersToggle;
  onBack: () => void;
}

export function ChannelHeader({ guildId, channelId, members, onBack }: Props) {
  const [hasPins, setPins] = useState(false);
  const channel = useModel((model) => model.channels[channelId]);
  if (channel === undefined) return null;
  return (
    <header className={styles.header}>
      <IconButton className={styles.back} label="Guilds and channels" data-testid="back" onClick={onBack}>
        <BackIcon />
      </IconButton>
      {channel.type === ChannelType.voice ? <SpeakerIcon /> : <HashIcon />}
      <h1 data-testid="channel-title">{channel.name}</h1>
      <p>{channel.topic}</p>
      <IconButton label="Pinned messages" data-testid="pins" onClick={() => setPins(true)}>
        <PinIcon />
      </IconButton>
      <button type="button" className={styles.toggle} aria-pressed={members.isShown} aria-label="Member list" title="Member list" data-testid="members-toggle" onClick={members.toggle}>
        <PeopleIcon />
      </button>
      {hasPins && <PinsPanel guildId={guildId} channelId={channelId} onClose={() => setPins(false)} />}
    </header>
  );
}
