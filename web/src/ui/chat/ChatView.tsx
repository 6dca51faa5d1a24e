import type { Id } from "../../api/types";
import type { MembersToggle } from "../Shell";
import { ChannelHeader } from "./ChannelHeader";
import styles from "./ChatView.module.css";
import { Conversation } from "./Conversation";

interface Props {
  guildId: Id | null;
  channelId: Id;
  members: MembersToggle;
  onBack: () => void;
}

/** One text channel on the stage. */
export function ChatView({ guildId, channelId, members, onBack }: Props) {
  return (
    <main className={styles.chat}>
      <ChannelHeader guildId={guildId} channelId={channelId} members={members} onBack={onBack} />
      <Conversation guildId={guildId} channelId={channelId} />
    </main>
  );
}
