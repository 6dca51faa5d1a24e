import { useEffect, useState } from "react";
import { ChannelType } from "../api/types";
import { placeName } from "../state/select";
import { ChatView } from "./chat/ChatView";
import { useApp, useModel, usePage, useVoice } from "./context";
import { GuildRail } from "./guild/GuildRail";
import { MemberList } from "./guild/MemberList";
import { Sidebar } from "./guild/Sidebar";
import { Welcome } from "./guild/Welcome";
import { Friends } from "./people/Friends";
import { ConnectionBanner } from "./parts/ConnectionBanner";
import styles from "./Shell.module.css";
import { ForumView } from "./threads/ForumView";
import { ThreadPanel } from "./threads/ThreadPanel";
import { VoiceRoom } from "./voice/VoiceRoom";

/** The working screen: rail, sidebar, the open channel, members. On a narrow screen the first two are one pane. */
export function Shell() {
  const guildId = usePage((page) => (page.route.name === "guild" ? page.route.guildId : null));
  const channelId = usePage((page) => (page.route.name === "guild" || page.route.name === "private" ? page.route.channelId : null));
  const threadId = usePage((page) => (page.route.name === "guild" ? page.route.threadId : null));
  const isPrivate = usePage((page) => page.route.name === "private");
  const isAtFriends = usePage((page) => page.route.name === "friends");
  const channelType = useModel((model) => (channelId === null ? null : (model.channels[channelId]?.type ?? null)));
  const guildName = useModel((model) => (guildId === null ? null : (model.guilds[guildId]?.name ?? null)));
  const channelName = useModel((model) => (channelId === null ? null : placeName(model, channelId)));
  const [hasMembers, setHasMembers] = useState(() => window.innerWidth >= 1100);
  const [pane, setPane] = useState<"places" | "channel">("channel");
  useShortcuts();
  useEffect(() => {
    document.title = [channelName === null ? null : isPrivate ? channelName : `#${channelName}`, guildName, "Guildhall"].filter((part) => part !== null).join(" · ");
  }, [guildName, channelName, isPrivate]);
  const openPlaces = () => setPane("places");
  const openChannel = () => setPane("channel");
  const members = { isShown: hasMembers, toggle: () => setHasMembers((isShown) => !isShown) };
  return (
    <div className={styles.shell} data-pane={pane} data-members={hasMembers} data-thread={threadId !== null}>
      <ConnectionBanner />
      <div className={styles.places}>
        <GuildRail openGuildId={guildId} />
        <Sidebar guildId={guildId} openChannelId={channelId} onOpenChannel={openChannel} />
      </div>
      {isPrivate && channelId !== null ? (
        <ChatView key={channelId} guildId={null} channelId={channelId} members={members} onBack={openPlaces} />
      ) : isAtFriends ? (
        <Friends onBack={openPlaces} onOpen={openChannel} />
      ) : guildId === null || guildName === null ? (
        <Welcome isMissing={guildId !== null} />
      ) : channelId === null || channelType === null ? (
        <main className={styles.empty}>
          <p>No channel that you may see. Create one, or ask for access.</p>
        </main>
      ) : channelType === ChannelType.voice || channelType === ChannelType.stage ? (
        <VoiceRoom key={channelId} guildId={guildId} channelId={channelId} members={members} onBack={openPlaces} />
      ) : channelType === ChannelType.forum ? (
        <ForumView key={channelId} guildId={guildId} channelId={channelId} members={members} onBack={openPlaces} />
      ) : (
        <ChatView key={channelId} guildId={guildId} channelId={channelId} members={members} onBack={openPlaces} />
      )}
      {guildId !== null && guildName !== null && channelId !== null && threadId !== null && <ThreadPanel guildId={guildId} threadId={threadId} />}
      {guildId !== null && guildName !== null && channelId !== null && hasMembers && <MemberList key={guildId} guildId={guildId} channelId={channelId} />}
    </div>
  );
}

export interface MembersToggle {
  isShown: boolean;
  toggle: () => void;
}

/** Ctrl+Shift+M mutes, Ctrl+Shift+D deafens, wherever the focus is. */
function useShortcuts(): void {
  const app = useApp();
  const isMuted = useVoice((voice) => voice.isMuted);
  const isDeafened = useVoice((voice) => voice.isDeafened);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (!(event.ctrlKey || event.metaKey) || !event.shiftKey) return;
      const key = event.key.toLowerCase();
      if (key === "m") app.voice.setMuted(!isMuted);
      else if (key === "d") app.voice.setDeafened(!isDeafened);
      else return;
      event.preventDefault();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [app, isMuted, isDeafened]);
}
