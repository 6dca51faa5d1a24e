import type { CallStatus } from "../../voice/call";

export function statusText(status: CallStatus): string {
  switch (status) {
    case "joining":
      return "Asking for a seat…";
    case "connecting":
      return "Connecting audio…";
    case "connected":
      return "Voice connected";
    case "reconnecting":
      return "Voice reconnecting…";
    case "failed":
      return "Voice failed";
    default:
      return "Not in a call";
  }
}
