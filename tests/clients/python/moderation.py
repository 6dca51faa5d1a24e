"""A moderation bot with discord.py's command framework, as people write them: prefix commands in a cog, converters, permission
checks, waiting for a confirmation, and the audit log as it happens.

Given: {"base": "http://host:port", "gateway": "ws://host:port/gateway", "token": "…"}. The test speaks to it in the chat.
"""

import asyncio
import datetime
import logging
import sys

import discord
import yarl
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from script import given, report, serve

Route.BASE = given["base"] + "/api/v10"
DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(given["gateway"])
logging.basicConfig(stream=sys.stderr, level=logging.INFO)

# Longer than any step takes on a busy machine, in seconds; a test's own deadline is what usually ends a wait.
STEP = 20


class Moderation(commands.Cog):
    def __init__(self, bot):
        self.bot = bot

    async def cog_check(self, ctx):
        return ctx.guild is not None

    @commands.command()
    @commands.has_permissions(kick_members=True)
    async def kick(self, ctx, member: discord.Member, *, reason: str):
        await member.kick(reason=reason)
        await ctx.reply(f"kicked {member.name}")

    @commands.command()
    @commands.has_permissions(ban_members=True)
    async def ban(self, ctx, member: discord.Member, hours: int, *, reason: str):
        """Asks first, and takes what the member wrote in these hours away."""
        yes = lambda said: said.author == ctx.author and said.channel == ctx.channel and said.content == "yes"
        # From now on, not from when the question's own answer is read: a test says yes before that.
        confirmed = self.bot.wait_for("message", check=yes, timeout=STEP)
        await ctx.reply(f"ban {member.name}?")
        await confirmed
        await ctx.guild.ban(member, delete_message_seconds=hours * 3600, reason=reason)
        ban = await ctx.guild.fetch_ban(member)
        await ctx.send(f"banned {ban.user.name}: {ban.reason}")

    @commands.command()
    @commands.has_permissions(ban_members=True)
    async def unban(self, ctx, user: discord.User, *, reason: str):
        await ctx.guild.unban(user, reason=reason)
        await ctx.send(f"unbanned {user.name}")

    @commands.command()
    @commands.has_permissions(moderate_members=True)
    async def timeout(self, ctx, member: discord.Member, minutes: int, *, reason: str):
        await member.timeout(datetime.timedelta(minutes=minutes), reason=reason)
        await ctx.send(f"{member.name} rests")

    @commands.command()
    @commands.has_permissions(moderate_members=True)
    async def untimeout(self, ctx, member: discord.Member):
        await member.timeout(None)
        await ctx.send(f"{member.name} may speak")

    @commands.command()
    @commands.has_permissions(manage_messages=True)
    async def purge(self, ctx, limit: int, member: discord.Member):
        gone = await ctx.channel.purge(limit=limit, check=lambda said: said.author == member, reason="spring cleaning")
        await ctx.send(f"purged {len(gone)}")

    @commands.command()
    @commands.has_permissions(manage_channels=True)
    async def slowmode(self, ctx, seconds: int):
        channel = await ctx.channel.edit(slowmode_delay=seconds, reason="calm down")
        await ctx.send(f"slowmode {channel.slowmode_delay}")

    @commands.command()
    @commands.has_permissions(manage_roles=True)
    async def role(self, ctx, member: discord.Member, *, role: discord.Role):
        """Gives a role, or takes it back."""
        if role in member.roles:
            await member.remove_roles(role, reason="enough")
            await ctx.send(f"{member.name} lost {role.name}")
        else:
            await member.add_roles(role, reason="earned")
            await ctx.send(f"{member.name} got {role.name}")

    @commands.command()
    @commands.has_permissions(manage_nicknames=True)
    async def nick(self, ctx, member: discord.Member, *, nick: str):
        member = await member.edit(nick=nick, reason="manners")
        await ctx.send(f"{member.name} is {member.display_name}")

    @commands.Cog.listener()
    async def on_member_ban(self, guild, user):
        report("ban", guild=str(guild.id), user=str(user.id))

    @commands.Cog.listener()
    async def on_member_unban(self, guild, user):
        report("unban", guild=str(guild.id), user=str(user.id))

    @commands.Cog.listener()
    async def on_member_join(self, member):
        report("member_add", guild=str(member.guild.id), user=str(member.id))

    @commands.Cog.listener()
    async def on_member_update(self, before, after):
        changed = {}
        if before.nick != after.nick:
            changed["nick"] = after.nick
        if before.timed_out_until != after.timed_out_until:
            changed["timed_out"] = after.is_timed_out()
        if before.roles != after.roles:
            changed["roles"] = [role.name for role in after.roles if role != after.guild.default_role]
        report("member_update", user=str(after.id), changed=changed)

    @commands.Cog.listener()
    async def on_member_remove(self, member):
        report("member_remove", guild=str(member.guild.id), user=str(member.id))

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload):
        report("bulk_delete", channel=str(payload.channel_id), ids=sorted(str(id) for id in payload.message_ids))

    @commands.Cog.listener()
    async def on_audit_log_entry_create(self, entry):
        report("audit", **line(entry))

    @commands.Cog.listener()
    async def on_command_error(self, _ctx, error):
        report("refused", error=type(error).__name__)


def line(entry):
    return {
        "action": entry.action.name,
        "user": str(entry.user_id),
        "target": str(entry.target.id) if entry.target else None,
        "reason": entry.reason,
    }


class Bot(commands.Bot):
    async def setup_hook(self):
        await self.add_cog(Moderation(self))
        self.served = asyncio.create_task(self.serve())

    async def serve(self):
        await serve({"audit_log": self.audit_log})
        await self.close()

    async def audit_log(self, command):
        guild = self.get_guild(int(command["guild"]))
        action = discord.AuditLogAction[command["action"]] if command.get("action") else discord.utils.MISSING
        return [line(entry) async for entry in guild.audit_logs(limit=command["limit"], action=action)]

    async def on_ready(self):
        report("ready", user=str(self.user.id))

    async def on_message(self, said):
        report("message_create", author=str(said.author.id), content=said.content)
        await self.process_commands(said)

    async def on_error(self, event, *_args):
        report("error", message=f"{event}: {sys.exc_info()[1]!r}")


intents = discord.Intents.default()
intents.members = intents.message_content = True
bot = Bot(command_prefix="!", intents=intents, help_command=None)
bot.run(given["token"], log_handler=None)
