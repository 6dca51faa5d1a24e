// What end-to-end tests read of a running page, as `window.guildhall`. Read-only: tests act through the page's controls.

import type { App } from "./app";

export function installHook(app: App): void {
  const hook = {
    /** The connection state of the main gateway. */
    gateway: () => app.store.getState().gateway,
    voice: () => {
      const { status, place, failure, isMuted, isDeafened, microphoneProblem, speaking } = app.voice.store.getState();
      const { voiceStates, users } = app.store.getState();
      const slots = app.voice.slots();
      const inside = Object.values(place === null ? {} : (voiceStates[place.guildId] ?? {})).filter((state) => state.channel_id === place?.channelId);
      const participants = inside.map(({ user_id: userId }) => {
        const slot = slots.find((each) => each.userId === userId);
        return {
          userId,
          username: users[userId]?.username ?? null,
          speaking: speaking[userId] === true,
          level: slot?.level ?? 0,
          peak: slot?.peak ?? 0,
        };
      });
      const sounds = app.voice.sounds();
      return { state: status, place, failure, isMuted, isDeafened, microphoneProblem, microphoneLevel: app.voice.microphoneLevel(), participants, slots, sounds };
    },
    /** The inbound RTP streams of the peer connection, as getStats has them. */
    inbound: () => app.voice.inbound(),
    /** Its video slots: who is in which, and what the browser decodes there; and the encodings that it sends. */
    video: async () => {
      const { videos, own, limit, grades, quality } = app.voice.store.getState();
      const [received, sent] = await Promise.all([app.voice.inboundVideos(), app.voice.outboundVideos()]);
      const publishes = { camera: own.camera !== null, screen: own.screen !== null };
      return { videos, videoSlots: app.voice.videoSlots(), publishes, limit, grades, quality, received, sent };
    },
  };
  Object.defineProperty(window, "guildhall", { value: Object.freeze(hook) });
}
