import { type ReactNode, useEffect, useRef, useState } from "react";
import type { Id } from "../../api/types";
import type { VideoSource } from "../../voice/protocol";
import { gradeText, ownGradeText } from "../../voice/quality";
import { type Picture, videoKey } from "../../voice/videos";
import { useApp, useVoice } from "../context";
import styles from "./VoiceRoom.module.css";

interface Props {
  userId: Id;
  source: VideoSource;
  isFocused: boolean;
  /** Shown until there is a picture. */
  children: ReactNode;
}

/** What somebody films or shares, in the size that its tile has; the server is told that size. */
export function OthersVideo({ userId, source, isFocused, children }: Props) {
  const app = useApp();
  const frame = useRef<HTMLDivElement>(null);
  const picture = useVoice((voice) => voice.pictures[videoKey(userId, source)] ?? null);
  const reason = useVoice((voice) => voice.grades[videoKey(userId, source)]?.reason ?? null);
  const grade = useVoice((voice) => {
    const known = voice.grades[videoKey(userId, source)];
    return known === undefined ? null : gradeText(known);
  });
  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const tell = () => {
      const { width, height } = element.getBoundingClientRect();
      const [wide, high] = [width, height].map((length) => Math.round(length * devicePixelRatio));
      app.voice.showTile(userId, source, { width: wide ?? 0, height: high ?? 0, focus: isFocused });
    };
    const observer = new ResizeObserver(tell);
    observer.observe(element);
    tell();
    return () => {
      observer.disconnect();
      app.voice.showTile(userId, source, null);
    };
  }, [app, userId, source, isFocused]);
  return (
    <div ref={frame} className={styles.picture}>
      {children}
      {picture !== null && <LastingVideo picture={picture} testId={`video-${source}-${userId}`} isWhole={source === "screen"} />}
      {grade !== null && (
        <span className={styles.grade} data-limited={reason === "network" || reason === "paused"} data-testid={`grade-${source}-${userId}`}>
          {grade}
        </span>
      )}
    </div>
  );
}

/** What this page itself films or shares. */
export function OwnVideo({ source, children }: { source: VideoSource; children: ReactNode }) {
  const stream = useVoice((voice) => voice.own[source]);
  const grade = useVoice((voice) => (voice.own[source] === null ? null : ownGradeText(voice.limit)));
  return (
    <div className={styles.picture}>
      {children}
      {stream !== null && <Video stream={stream} testId={`preview-${source}`} isMirrored={source === "camera"} isWhole={source === "screen"} />}
      {grade !== null && (
        <span className={styles.grade} data-limited={true} data-testid={`grade-${source}-own`}>
          {grade}
        </span>
      )}
    </div>
  );
}

/** A video that comes by another connection from some moment on: the last picture stays until there is one of that. */
function LastingVideo({ picture, testId, isWhole }: { picture: Picture; testId: string; isWhole: boolean }) {
  const [shown, setShown] = useState(picture);
  // Within a connection the slots of others change too, and what was in the old slot may be somebody else.
  if (shown.leg === picture.leg && shown.stream !== picture.stream) setShown(picture);
  // Always a list: what stays in it stays the same element.
  const list = shown.leg === picture.leg ? [picture] : [shown, picture];
  return list.map(({ stream, leg }, index) =>
    index === 0 ? (
      <Video key={leg} stream={stream} testId={testId} isWhole={isWhole} />
    ) : (
      <Video key={leg} stream={stream} isWhole={isWhole} onPicture={() => setShown(picture)} />
    ),
  );
}

interface VideoProps {
  stream: MediaStream;
  testId?: string;
  isMirrored?: boolean;
  isWhole: boolean;
  /** Given: it is not seen yet, and this is called when it could be. */
  onPicture?: () => void;
}

function Video({ stream, testId, isMirrored = false, isWhole, onPicture }: VideoProps) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current !== null && video.current.srcObject !== stream) video.current.srcObject = stream;
  }, [stream]);
  return (
    <video
      ref={video}
      autoPlay
      playsInline
      muted
      data-testid={testId}
      data-mirrored={isMirrored}
      data-whole={isWhole}
      data-waiting={onPicture !== undefined}
      onLoadedData={onPicture}
    />
  );
}
