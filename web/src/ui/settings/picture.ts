// A picture that a person chose, as the API takes it: a data URI.

import { ApiError } from "../../api/error";

/** Larger files are refused before they are sent. */
export const MAX_PICTURE_BYTES = 8 * 1024 * 1024;
export const PICTURE_TYPES = "image/png,image/jpeg,image/gif,image/webp";

export function readPicture(file: File): Promise<string> {
  if (file.size > MAX_PICTURE_BYTES) return Promise.reject(new ApiError(0, 0, "The picture is larger than 8 MB."));
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(String(reader.result)));
    reader.addEventListener("error", () => reject(new ApiError(0, 0, "The picture cannot be read.")));
    reader.readAsDataURL(file);
  });
}
