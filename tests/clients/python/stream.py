"""aiortc, a WebRTC implementation of its own, as a program that publishes by WHIP (RFC 9725) and as one that watches by WHEP.

Given: {}. See script.py for how it is driven.
"""

import array
import asyncio
import fractions
import logging
import math
import re
import sys

import aiohttp
import av
from aiortc import MediaStreamTrack, RTCCertificate, RTCPeerConnection, RTCRtpSender, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcdtlstransport import generate_certificate
from cryptography.hazmat.primitives.asymmetric import rsa

from script import given, report, serve

logging.basicConfig(stream=sys.stderr, level=logging.WARNING)

RATE = 48_000
FRAME = RATE // 50
WIDTH, HEIGHT = 320, 240


class Tone(MediaStreamTrack):
    """440 Hz at half of full scale."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.sample, self.started = 0, None

    async def recv(self):
        loop = asyncio.get_running_loop()
        self.started = self.started or loop.time()
        await asyncio.sleep(max(0, self.started + self.sample / RATE - loop.time()))
        wave = (int(16_000 * math.sin(2 * math.pi * 440 * (self.sample + i) / RATE)) for i in range(FRAME))
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(array.array("h", wave).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.sample, fractions.Fraction(1, RATE)
        self.sample += FRAME
        return frame


class Picture(VideoStreamTrack):
    """A grey picture that becomes a little lighter with every frame, and dark again."""

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane, value in zip(frame.planes, (96 + pts // 3000 % 64, 128, 128)):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.pts, frame.time_base = pts, time_base
        return frame


class Session:
    """One peer connection and the HTTP resource that stands for it."""

    def __init__(self, certificate=None):
        self.peer = RTCPeerConnection()
        if certificate:
            # aiortc has no setting for it. OpenSSL makes the handshake, as it does for GStreamer and others with such keys.
            self.peer._RTCPeerConnection__certificates = [certificate]
        self.http = aiohttp.ClientSession()
        self.resource = None
        self.seen = {"video": 0, "width": 0, "light": 0, "audio": 0, "loudest": 0}
        self.readers = set()
        self.peer.on("track", self.on_track)
        self.peer.on("connectionstatechange", lambda: report("state", state=self.peer.connectionState))

    def on_track(self, track):
        reader = asyncio.create_task(self.read(track))
        self.readers.add(reader)
        reader.add_done_callback(self.readers.discard)

    async def read(self, track):
        try:
            while True:
                frame = await track.recv()
                self.seen[track.kind] += 1
                if track.kind == "video":
                    self.seen["width"], self.seen["light"] = frame.width, bytes(frame.planes[0])[0]
                else:
                    heard = array.array("h", bytes(frame.planes[0]))
                    self.seen["loudest"] = max(abs(sample) for sample in heard)
        except MediaStreamError:
            pass

    async def offer(self, url, key, change=lambda sdp: sdp):
        await self.peer.setLocalDescription(await self.peer.createOffer())
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {key}"}
        async with self.http.post(url, data=change(self.peer.localDescription.sdp), headers=headers) as answer:
            body = await answer.text()
            if answer.status != 201:
                return {"status": answer.status, "body": body}
            self.resource = str(answer.url.join(type(answer.url)(answer.headers["Location"])))
            redirects = [each.status for each in answer.history]
        await self.peer.setRemoteDescription(RTCSessionDescription(body, "answer"))
        return {"status": 201, "redirects": redirects, "at": answer.url.authority}

    async def delete(self):
        async with self.http.delete(self.resource) as answer:
            return answer.status

    async def close(self):
        await self.peer.close()
        await self.http.close()


sessions = {}


def rsa_certificate():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return RTCCertificate(key, generate_certificate(key))


def promise_another(sdp):
    """The SDP with the fingerprints of a certificate that nobody has."""
    return re.sub(r"(a=fingerprint:\S+) \S\S:\S\S", r"\1 00:00", sdp)


async def publish(command):
    """Codec, and as it may be: `rsa` for such a certificate, `promised` false for one that is not the offer's."""
    session = sessions[command["as"]] = Session(rsa_certificate() if command.get("rsa") else None)
    session.peer.addTrack(Tone())
    session.peer.addTrack(Picture())
    video = session.peer.getTransceivers()[1]
    codecs = RTCRtpSender.getCapabilities("video").codecs
    video.setCodecPreferences([codec for codec in codecs if codec.name == command["codec"]])
    change = (lambda sdp: sdp) if command.get("promised", True) else promise_another
    return await session.offer(command["url"], command["key"], change)


async def play(command):
    session = sessions[command["as"]] = Session()
    for kind in ("audio", "video"):
        session.peer.addTransceiver(kind, direction="recvonly")
    return await session.offer(command["url"], command["key"])


async def seen(command):
    return sessions[command["as"]].seen


async def delete(command):
    return await sessions[command["as"]].delete()


async def main():
    await serve({"publish": publish, "play": play, "seen": seen, "delete": delete})
    for session in sessions.values():
        await session.close()


report("ready", given=given)
asyncio.run(main())
