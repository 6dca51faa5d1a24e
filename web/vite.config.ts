import react from "@vitejs/plugin-react";
import { defineConfig, loadEnv } from "vite";

export default defineConfig(({ mode }) => {
  // `npm run dev` and `npm run preview` serve the page on their own port and hand API, files and sockets to a running server.
  const server = loadEnv(mode, ".", "GUILDHALL_")["GUILDHALL_URL"] ?? "http://localhost:8080";
  const proxy = {
    "/api": server,
    "/cdn": server,
    // The server says where voice is by the host that it was asked under, which has to be its own.
    "/gateway": { target: server, ws: true, changeOrigin: true },
  };
  return {
    plugins: [react()],
    build: {
      // Evergreen browsers of 2024 and later: all of them have what the page uses (dialog, :has, unified plan WebRTC).
      target: "es2022",
      // The page's content security policy forbids inline data, and a few more requests cost little.
      assetsInlineLimit: 0,
    },
    server: { proxy },
    preview: { proxy },
  };
});
