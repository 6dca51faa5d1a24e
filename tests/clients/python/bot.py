"""A discord.py bot with its voice client, as released, pointed at the server under test.

Given: {"base": "http://host:port", "gateway": "ws://host:port/gateway", "token": "…"}. See script.py for how it is driven.
"""

import asyncio
import datetime
import functools
import logging
import struct
import sys

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

import community
from script import given, report, serve

# The two places where discord.py names its server.
Route.BASE = given["base"] + "/api/v10"
DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(given["gateway"])

# The library reconnects on its own and says so only in its log; a failing test prints it.
logging.basicConfig(stream=sys.stderr, level=logging.INFO)


class Frames(discord.AudioSource):
    """A file of Opus packets: for each a little-endian u16 length and that many bytes."""

    def __init__(self, path):
        with open(path, "rb") as file:
            content = file.read()
        self.packets, at = [], 0
        while at < len(content):
            (length,) = struct.unpack_from("<H", content, at)
            self.packets.append(content[at + 2 : at + 2 + length])
            at += 2 + length
        self.unread = iter(self.packets)

    def is_opus(self):
        return True

    def read(self):
        return next(self.unread, b"")


def message(seen):
    return {
        "id": str(seen.id),
        "channel": str(seen.channel.id),
        "guild": str(seen.guild.id) if seen.guild else None,
        "author": str(seen.author.id),
        "content": seen.content,
        "edited": seen.edited_at.isoformat() if seen.edited_at else None,
        "is_dm": isinstance(seen.channel, discord.DMChannel),
    }


class Bot(discord.Client):
    async def setup_hook(self):
        self.commands = asyncio.create_task(self.serve())

    async def serve(self):
        own = {name[3:]: getattr(self, name) for name in dir(self) if name.startswith("do_")}
        await serve(own | {name: functools.partial(act, self) for name, act in community.COMMANDS.items()})
        await self.close()

    # What the library tells its user.

    async def on_ready(self):
        report("ready", user=str(self.user.id), name=self.user.name)

    async def on_resumed(self):
        report("resumed")

    async def on_disconnect(self):
        report("disconnected")

    async def on_error(self, event, *_args):
        report("error", message=f"{event}: {sys.exc_info()[1]!r}")

    async def on_message(self, seen):
        report("message_create", **message(seen))

    async def on_raw_message_edit(self, payload):
        edited = payload.message
        report("message_update", **message(edited))

    async def on_raw_message_delete(self, payload):
        report("message_delete", id=str(payload.message_id), channel=str(payload.channel_id))

    async def on_raw_reaction_add(self, payload):
        report("reaction_add", id=str(payload.message_id), emoji=str(payload.emoji), user=str(payload.user_id))

    async def on_typing(self, channel, user, _when):
        report("typing_start", channel=str(channel.id), user=str(user.id))

    async def on_guild_join(self, guild):
        report("guild_create", guild=str(guild.id))

    async def on_guild_remove(self, guild):
        report("guild_delete", guild=str(guild.id))

    async def on_member_join(self, member):
        report("member_add", guild=str(member.guild.id), user=str(member.id))

    async def on_member_remove(self, member):
        report("member_remove", guild=str(member.guild.id), user=str(member.id))

    async def on_guild_channel_create(self, channel):
        report("channel_create", channel=str(channel.id), name=channel.name)

    async def on_guild_channel_update(self, _before, channel):
        report("channel_update", channel=str(channel.id), name=channel.name)

    async def on_guild_channel_delete(self, channel):
        report("channel_delete", channel=str(channel.id))

    async def on_presence_update(self, _before, member):
        report("presence_update", user=str(member.id), status=str(member.status))

    async def on_voice_state_update(self, member, _before, now):
        report(
            "voice_state_update",
            user=str(member.id),
            channel=str(now.channel.id) if now.channel else None,
            self_mute=now.self_mute,
            self_deaf=now.self_deaf,
            mute=now.mute,
            deaf=now.deaf,
        )

    # What a test may ask of it.

    async def do_caches(self, _command):
        return {
            "user": {"id": str(self.user.id), "name": self.user.name, "bot": self.user.bot},
            "guilds": [
                {
                    "id": str(guild.id),
                    "name": guild.name,
                    "owner": str(guild.owner_id),
                    "available": not guild.unavailable,
                    "member_count": guild.member_count,
                    "channels": [{"id": str(c.id), "name": c.name, "type": c.type.value} for c in guild.channels],
                    "roles": [{"id": str(r.id), "name": r.name, "permissions": str(r.permissions.value)} for r in guild.roles],
                    "members": [str(m.id) for m in guild.members],
                    "my_permissions": str(guild.me.guild_permissions.value) if guild.me else None,
                }
                for guild in self.guilds
            ],
        }

    async def do_fetch_members(self, command):
        guild = self.get_guild(int(command["guild"]))
        return [str(m.id) for m in await guild.chunk(cache=False)]

    async def channel(self, command):
        id = int(command["channel"])
        return self.get_channel(id) or await self.fetch_channel(id)

    async def do_send(self, command):
        channel = await self.channel(command)
        fields = {}
        if command.get("reply_to"):
            fields["reference"] = channel.get_partial_message(int(command["reply_to"]))
        return message(await channel.send(command["content"], **fields))

    async def do_edit(self, command):
        held = (await self.channel(command)).get_partial_message(int(command["message"]))
        return message(await held.edit(content=command["content"]))

    async def do_delete(self, command):
        await (await self.channel(command)).get_partial_message(int(command["message"])).delete()

    async def do_history(self, command):
        return [message(m) async for m in (await self.channel(command)).history(limit=command["limit"])]

    async def do_typing(self, command):
        # Awaiting the context manager sends one notice.
        await (await self.channel(command)).typing()

    async def do_converse(self, command):
        """Answers a message with a reply, a reaction on it, and an edit of the reply."""
        asked = await (await self.channel(command)).fetch_message(int(command["message"]))
        reply = await asked.reply("one moment")
        await asked.add_reaction("👍")
        return message(await reply.edit(content="here you are"))

    async def do_write(self, command):
        """Begins a conversation."""
        return message(await (await self.fetch_user(int(command["user"]))).send(command["content"]))

    async def do_manage(self, command):
        """An administrator's afternoon: every value is what the library made of the answer."""
        guild, seen = self.get_guild(int(command["guild"])), {}
        keeper = discord.Permissions(manage_messages=True)
        role = await guild.create_role(name="keeper", colour=discord.Colour(0x336699), permissions=keeper)
        seen["role"] = {"name": role.name, "color": role.colour.value, "permissions": str(role.permissions.value)}
        role = await role.edit(name="warden", hoist=True)
        seen["renamed"] = role.name
        member = await guild.fetch_member(int(command["member"]))
        await member.add_roles(role)
        seen["given"] = role in (await guild.fetch_member(member.id)).roles
        seen["nick"] = (await member.edit(nick="Sir Robin")).nick

        hidden = {guild.default_role: discord.PermissionOverwrite(view_channel=False)}
        channel = await guild.create_text_channel("vault", topic="secrets", overwrites=hidden)
        sees = channel.permissions_for(guild.default_role).view_channel
        seen["channel"] = {"name": channel.name, "topic": channel.topic, "hidden": not sees}
        await channel.set_permissions(role, view_channel=True, send_messages=False)
        channel = await guild.fetch_channel(channel.id)
        mine = channel.permissions_for(await guild.fetch_member(member.id))
        seen["overwrite"] = {"view": mine.view_channel, "send": mine.send_messages}
        seen["slowmode"] = (await channel.edit(slowmode_delay=5)).slowmode_delay
        invite = await channel.create_invite(max_age=3600, max_uses=2)
        fetched = await self.fetch_invite(invite.code)
        seen["invite"] = {
            "guild": str(fetched.guild.id),
            "channel": str(fetched.channel.id),
            "uses": invite.max_uses,
            "age": invite.max_age,
        }

        sent = [await channel.send(content) for content in ["one", "two", "three", "four"]]
        seen["after"] = [m.content async for m in channel.history(after=sent[1], oldest_first=False)]
        await channel.delete_messages(sent[:3])
        seen["bulk"] = 3
        seen["left"] = [m.content async for m in channel.history()]

        await member.timeout(datetime.timedelta(minutes=1))
        seen["timeout"] = (await guild.fetch_member(member.id)).is_timed_out()
        await member.timeout(None)
        seen["untimed"] = (await guild.fetch_member(member.id)).is_timed_out()
        await guild.ban(member, reason="ni")
        seen["bans"] = [{"user": str(ban.user.id), "reason": ban.reason} async for ban in guild.bans()]
        await guild.unban(member)
        seen["unbanned"] = len([ban async for ban in guild.bans()])
        await channel.delete()
        await role.delete()
        seen["gone"] = not {channel.id, role.id} & {item.id for item in await guild.fetch_channels() + await guild.fetch_roles()}
        return seen

    @property
    def voice(self):
        return next(iter(self.voice_clients), None)

    async def do_join_voice(self, command):
        channel = await self.channel(command)
        await channel.connect(timeout=20, self_mute=command.get("self_mute", False), self_deaf=command.get("self_deaf", False))
        return {"mode": self.voice.mode}

    async def do_rejoin_voice(self, command):
        """Asks for the room that it is in, as often as told, without a pause, and comes back when all of that is answered."""
        voice = self.voice
        for _ in range(command["times"]):
            await voice.guild.change_voice_state(channel=voice.channel)
        # The gateway answers in order.
        await voice.guild.chunk(cache=False)

    async def do_move_voice(self, command):
        await self.voice.move_to(await self.channel(command), timeout=20)

    async def do_voice_state(self, _command):
        if self.voice is None:
            return {"connected": False, "channel": None}
        return {"connected": self.voice.is_connected(), "channel": str(self.voice.channel.id)}

    async def do_leave_voice(self, _command):
        await self.voice.disconnect()

    async def do_play(self, command):
        self.end = asyncio.get_running_loop().create_future()
        finished = lambda error: self.loop.call_soon_threadsafe(self.end.set_result, str(error) if error else None)
        self.voice.play(Frames(command["frames"]), after=finished)

    async def do_played(self, _command):
        return await self.end


intents = discord.Intents.default()
intents.members = intents.presences = intents.message_content = True
bot = Bot(intents=intents)
bot.run(given["token"], log_handler=None)
