import type { ReactNode } from "react";
import type { Message } from "../../api/types";

/** Types of messages that nobody wrote: they say what happened. */
export const MessageType = { recipientAdd: 1, recipientRemove: 2, call: 3, channelName: 4, pinned: 6, memberJoined: 7, threadCreated: 18, threadStarter: 21 } as const;

const SYSTEM: ReadonlySet<number> = new Set(Object.values(MessageType));

export function isSystem(message: Message): boolean {
  return SYSTEM.has(message.type);
}

/** The sentence of a system message, after the name of who did it. */
export function systemSentence(message: Message): ReactNode {
  const other = message.mentions[0];
  const otherName = other === undefined ? "someone" : (other.global_name ?? other.username);
  switch (message.type) {
    case MessageType.recipientAdd:
      return `brought ${otherName} in.`;
    case MessageType.recipientRemove:
      return other?.id === message.author.id || other === undefined ? "left." : `sent ${otherName} out.`;
    case MessageType.call:
      return "called.";
    case MessageType.channelName:
      return `renamed the conversation to ${message.content}.`;
    case MessageType.pinned:
      return "pinned a message.";
    case MessageType.threadCreated:
      return `started the thread ${message.content}.`;
    case MessageType.threadStarter:
      return "started this thread from a message that was deleted.";
    default:
      return "came into the hall.";
  }
}
