import { ChannelType, type Id } from "../../api/types";
import type { MembersToggle } from "../Shell";
import { useModel } from "../context";
import { IconButton } from "../parts/Button";
import { BackIcon, HashIcon, PeopleIcon, SpeakerIcon } from "../parts/icons";
import styles from "./ChannelHeader.module.css";

export function ChannelHeader({ channelId, members, onBack }: { channelId: Id; members: MembersToggle; onBack: () => void }) {
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
      <button type="button" className={styles.toggle} aria-pressed={members.isShown} aria-label="Member list" title="Member list" data-testid="members-toggle" onClick={members.toggle}>
        <PeopleIcon />
      </button>
    </header>
  );
}
