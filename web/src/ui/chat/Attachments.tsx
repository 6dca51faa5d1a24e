import { useState } from "react";
import type { Attachment } from "../../api/types";
import { fileSize } from "../media";
import { FileIcon } from "../parts/icons";
import styles from "./Attachments.module.css";

/** The box that a picture is fitted into before it is loaded, so that nothing moves when it comes. */
const MAX_WIDTH = 420;
const MAX_HEIGHT = 320;

/** The files of a message, by links that this server makes: pictures, sound and video in place, the rest as a link. */
export function Attachments({ attachments }: { attachments: readonly Attachment[] }) {
  return (
    <ul className={styles.files}>
      {attachments.map((attachment) => (
        <li key={attachment.id} data-testid="attachment" data-name={attachment.filename}>
          <File attachment={attachment} />
        </li>
      ))}
    </ul>
  );
}

function File({ attachment }: { attachment: Attachment }) {
  const { filename, content_type, size, url, description } = attachment;
  const isSpoiler = filename.startsWith("SPOILER_");
  const [isShown, setShown] = useState(!isSpoiler);
  const kind = (content_type ?? "").split("/")[0];
  if (kind === "image" && typeof attachment.width === "number" && typeof attachment.height === "number") {
    const scale = Math.min(1, MAX_WIDTH / attachment.width, MAX_HEIGHT / attachment.height);
    const width = Math.max(1, Math.round(attachment.width * scale));
    const height = Math.max(1, Math.round(attachment.height * scale));
    if (!isShown) {
      return (
        <button type="button" className={styles.hidden} style={{ width, height }} onClick={() => setShown(true)}>
          Show the picture
        </button>
      );
    }
    const thumbnail = `${attachment.proxy_url ?? url}${(attachment.proxy_url ?? url).includes("?") ? "&" : "?"}width=${2 * width}&height=${2 * height}`;
    return (
      <a href={url} target="_blank" rel="noreferrer noopener" title={description ?? filename}>
        <img className={styles.image} src={thumbnail} width={width} height={height} alt={description ?? filename} loading="lazy" />
      </a>
    );
  }
  return (
    <>
      {/* Captions of what people upload do not exist. */}
      {/* oxlint-disable-next-line jsx-a11y/media-has-caption */}
      {kind === "audio" && <audio className={styles.player} controls preload="none" src={url} />}
      {/* oxlint-disable-next-line jsx-a11y/media-has-caption */}
      {kind === "video" && <video className={styles.player} controls preload="metadata" src={url} />}
      <a className={styles.file} href={url} target="_blank" rel="noreferrer noopener" download={filename}>
        <FileIcon size={28} />
        <span>
          <strong>{filename}</strong>
          <small>{fileSize(size)}</small>
        </span>
      </a>
    </>
  );
}
