// The icons, drawn for this page on a 20 × 20 grid with one stroke. They are decoration: the control carries the name.

import type { ReactNode } from "react";
import { ChannelType } from "../../api/types";

function icon(paths: ReactNode) {
  return function Icon({ size = 20 }: { size?: number }) {
    return (
      <svg aria-hidden="true" width={size} height={size} viewBox="0 0 20 20" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round">
        {paths}
      </svg>
    );
  };
}

export const HashIcon = icon(<path d="M8 3 6.5 17M13.5 3 12 17M3.5 7.5h13.5M3 12.5h13.5" />);
export const SpeakerIcon = icon(<path d="M3 8v4h3l4 3.5v-11L6 8zM13 7.5a3.5 3.5 0 0 1 0 5M15.3 5a7 7 0 0 1 0 10" />);
export const MicrophoneIcon = icon(<path d="M10 2.5a2.5 2.5 0 0 0-2.5 2.5v5a2.5 2.5 0 0 0 5 0V5A2.5 2.5 0 0 0 10 2.5zM4.5 9.5a5.5 5.5 0 0 0 11 0M10 15v2.5" />);
export const MicrophoneOffIcon = icon(<path d="M12.5 8V5A2.5 2.5 0 0 0 8 3.6M7.5 8v2a2.5 2.5 0 0 0 3.8 2.1M4.5 9.5a5.5 5.5 0 0 0 8.6 4.5M15.1 11.5q.4-.9.4-2M10 15v2.5M3 2.5l14 15" />);
export const HeadphonesIcon = icon(<path d="M3.5 12v-2a6.5 6.5 0 0 1 13 0v2M3.5 12a1.5 1.5 0 0 1 3 0v3a1.5 1.5 0 0 1-3 0zM13.5 12a1.5 1.5 0 0 1 3 0v3a1.5 1.5 0 0 1-3 0z" />);
export const HeadphonesOffIcon = icon(<path d="M3.5 12v-2q0-1.7.8-3.1M6.7 4.4a6.5 6.5 0 0 1 9.8 5.6v2.5M3.5 12a1.5 1.5 0 0 1 3 0v3a1.5 1.5 0 0 1-3 0zM13.5 13v2a1.5 1.5 0 0 0 2.5 1.1M3 2.5l14 15" />);
export const LeaveCallIcon = icon(<path d="M2.5 11.5c4.5-4.5 10.5-4.5 15 0l-1.8 2.3-3-1.3v-2q-2.7-.8-5.4 0v2l-3 1.3z" />);
export const CameraIcon = icon(<path d="M2.5 5.5h10v9h-10zM12.5 9l5-2.5v7l-5-2.5" />);
export const CameraOffIcon = icon(<path d="M7 5.5h5.5v5.5M12.5 9l5-2.5v7l-3-1.5M11 14.5H2.5v-9M3 2.5l14 15" />);
export const ScreenIcon = icon(<path d="M2.5 4h15v9.5h-15zM7 17h6M10 13.5V17M10 10.7V6.8M8 8.6l2-2 2 2" />);
export const ScreenOffIcon = icon(<path d="M2.5 4h15v9.5h-15zM7 17h6M10 13.5V17M8 7l4 4M12 7l-4 4" />);
export const PlusIcon = icon(<path d="M10 4v12M4 10h12" />);
export const InviteIcon = icon(<path d="M8 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.5 16.5c.4-3 2.6-4.5 5.5-4.5s5.1 1.5 5.5 4.5M15.5 6v5M13 8.5h5" />);
export const PencilIcon = icon(<path d="m4 13.5 8.5-8.5 2.5 2.5L6.5 16H4zM11 6.5l2.5 2.5" />);
export const TrashIcon = icon(<path d="M4 5.5h12M8 5.5V3.5h4v2M5.5 5.5 6.3 16.5h7.4l.8-11M8.5 8.5v5M11.5 8.5v5" />);
export const LogoutIcon = icon(<path d="M8 3.5H4.5v13H8M8.5 10H17M13.5 6.5 17 10l-3.5 3.5" />);
export const PeopleIcon = icon(<path d="M7.5 9.5a2.7 2.7 0 1 0 0-5.5 2.7 2.7 0 0 0 0 5.5zM2.5 16c.3-2.8 2.2-4.2 5-4.2s4.7 1.4 5 4.2M12.5 4.3a2.6 2.6 0 0 1 0 5M14.5 12.2c1.8.5 2.8 1.8 3 3.8" />);
export const CloseIcon = icon(<path d="m5 5 10 10M15 5 5 15" />);
export const BackIcon = icon(<path d="M12.5 4.5 7 10l5.5 5.5" />);
export const DownIcon = icon(<path d="M10 4v11M5 10.5l5 5 5-5" />);
export const SendIcon = icon(<path d="m3 3.5 14.5 6.5L3 16.5l2-6.5zM5 10h6" />);
export const CrownIcon = icon(<path d="M3.5 6.5 6.5 10 10 4.5l3.5 5.5 3-3.5-1.2 8.5H4.7z" />);
export const CompassIcon = icon(<path d="M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM12.8 7.2l-1.5 4.1-4.1 1.5 1.5-4.1z" />);
export const ReplyIcon = icon(<path d="M8 4 3 9l5 5M3 9h8a6 6 0 0 1 6 6v1" />);
export const SmileIcon = icon(<path d="M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM7.5 8v.5M12.5 8v.5M6.5 11.5c.7 1.7 2 2.5 3.5 2.5s2.8-.8 3.5-2.5" />);
export const FileIcon = icon(<path d="M5 2.5h6.5L15 6v11.5H5zM11.5 2.5V6H15M7.5 10h5M7.5 13h5" />);
export const ClipIcon = icon(<path d="m15.5 9-5.8 5.8a3.4 3.4 0 0 1-4.8-4.8l6-6a2.3 2.3 0 0 1 3.2 3.2l-5.8 5.8a1.1 1.1 0 0 1-1.6-1.6L12 6" />);
export const PinIcon = icon(<path d="m11.5 3 5.5 5.5-2 .5-3 3-.5 3.5L5 9l3.5-.5 3-3zM8 12l-4.5 4.5" />);
export const SearchIcon = icon(<path d="M9 14.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11zM13 13l4 4" />);
export const AtIcon = icon(<path d="M13 10a3 3 0 1 1-6 0 3 3 0 0 1 6 0zm0 0v1.5a2 2 0 0 0 4 0V10a7 7 0 1 0-3 5.7" />);
export const CheckIcon = icon(<path d="m4 10.5 4 4 8-9" />);
export const GearIcon = icon(<path d="M10 12.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6zM10 2.5v2.2M10 15.3v2.2M2.5 10h2.2M15.3 10h2.2M4.7 4.7l1.5 1.5M13.8 13.8l1.5 1.5M4.7 15.3l1.5-1.5M13.8 6.2l1.5-1.5" />);
export const ThreadIcon = icon(<path d="M3.5 4h13v9h-7L6 16v-3H3.5zM7 7.2h6M7 9.8h3.5" />);
export const LockIcon = icon(<path d="M5 9h10v7.5H5zM7 9V6.5a3 3 0 0 1 6 0V9M10 12v1.5" />);
export const ArchiveIcon = icon(<path d="M3 4h14v3.5H3zM4.5 7.5V16h11V7.5M8 10.5h4" />);
export const LeaveIcon = icon(<path d="M11.5 3.5H4v13h7.5M9 10h8M14 7l3 3-3 3" />);
export const NewsIcon = icon(<path d="M3 8v4h2.5l7.5 4V4L5.5 8zM6 12l1 4.5h2L8.3 13M15.5 8a3 3 0 0 1 0 4" />);
export const ForumIcon = icon(<path d="M3 4h10v7H7.5L5 13.5V11H3zM8 14.5h5l2.5 2.5v-2.5H17v-7h-2" />);

export const RecordIcon = icon(<path d="M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM10 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6z" />);

/** What kind of place a channel is. */
export function ChannelIcon({ type, size = 18 }: { type: number; size?: number }) {
  if (type === ChannelType.voice || type === ChannelType.stage) return <SpeakerIcon size={size} />;
  if (type === ChannelType.announcement) return <NewsIcon size={size} />;
  return type === ChannelType.forum ? <ForumIcon size={size} /> : <HashIcon size={size} />;
}
