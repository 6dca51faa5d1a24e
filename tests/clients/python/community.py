"""What a community's bot does with discord.py beyond sending text: each function is one afternoon, each value in its answer is
what the library made of what the server said. node/community.mjs and hikari_bot.py do the same.
"""

import base64
import io

import aiohttp
import discord

from script import report

# Longer than any step takes on a busy machine, in seconds; a test's own deadline is what usually ends a wait.
STEP = 20


def counts(message):
    return {str(reaction.emoji): reaction.count for reaction in message.reactions}


async def reactions(bot, command):
    """A vote: two reactions of its own, one awaited from `user`, counted, listed, taken back and cleared."""
    channel = bot.get_channel(int(command["channel"]))
    message = await channel.send("vote")
    await message.add_reaction("👍")
    await message.add_reaction("🎉")
    of_user = lambda _reaction, by: str(by.id) == command["user"]
    report("voting", message=str(message.id))
    collected, _ = await bot.wait_for("reaction_add", check=of_user, timeout=STEP)
    message = await channel.fetch_message(message.id)
    seen = {"collected": [str(collected.emoji)], "counts": counts(message)}
    thumbs = next(reaction for reaction in message.reactions if reaction.emoji == "👍")
    seen["users"] = sorted([str(user.id) async for user in thumbs.users()])
    await thumbs.remove(bot.user)
    seen["taken_back"] = counts(await channel.fetch_message(message.id))
    await message.clear_reactions()
    seen["cleared"] = counts(await channel.fetch_message(message.id))
    return seen


async def answer(bot, command):
    """Waits for what `user` says next, out of everything that is said."""
    channel = bot.get_channel(int(command["channel"]))
    question = await channel.send("who goes there?")
    report("asking", message=str(question.id))
    said = await bot.wait_for("message", check=lambda said: str(said.author.id) == command["user"], timeout=STEP)
    await said.reply("pass")
    return {"answer": said.content}


async def pins(bot, command):
    channel = bot.get_channel(int(command["channel"]))
    kept = await channel.send("the rules")
    await kept.pin(reason="everyone should read them")
    seen = {"pinned": [m.content async for m in channel.pins()], "known": (await channel.fetch_message(kept.id)).pinned}
    await kept.unpin()
    seen["unpinned"] = [m.content async for m in channel.pins()]
    return seen


async def files(bot, command):
    """A file and an embed go out in one message; the file comes back by the address in the message."""
    channel = bot.get_channel(int(command["channel"]))
    file = discord.File(io.BytesIO(base64.b64decode(command["bytes"])), "map.bin", description="the way in")
    embed = discord.Embed(title="The map", description="north is up", colour=0x336699).add_field(name="scale", value="1:100")
    sent = await channel.send("found it", file=file, embed=embed)
    message = await channel.fetch_message(sent.id)
    (attachment,), (shown,) = message.attachments, message.embeds
    return {
        "file": {
            "name": attachment.filename,
            "size": attachment.size,
            "description": attachment.description,
            "bytes": base64.b64encode(await attachment.read()).decode(),
        },
        "embed": {
            "title": shown.title,
            "description": shown.description,
            "color": shown.colour.value,
            "fields": [{"name": field.name, "value": field.value} for field in shown.fields],
        },
    }


async def audit(bot, command):
    """Three changes with reasons, read back from the audit log, the newest first."""
    guild = bot.get_guild(int(command["guild"]))
    keeper = discord.Permissions(manage_messages=True)
    role = await guild.create_role(name="herald", permissions=keeper, reason="for the feast")
    member = guild.get_member(int(command["member"]))
    await member.add_roles(role, reason="loud voice")
    await member.kick(reason="too loud")
    return {
        "role": str(role.id),
        "entries": [
            {"action": entry.action.value, "user": str(entry.user.id), "target": str(entry.target.id), "reason": entry.reason}
            async for entry in guild.audit_logs(limit=3)
        ],
    }


async def webhook(bot, command):
    """The bot makes a webhook; who knows its id and token writes with it, under any name, and needs no bot."""
    channel = bot.get_channel(int(command["channel"]))
    made = await channel.create_webhook(name="courier", reason="news")
    async with aiohttp.ClientSession() as session:
        hook = discord.Webhook.partial(made.id, made.token, session=session)
        sent = await hook.send("hear ye", username="Town crier", wait=True)
        listed = [each.name for each in await channel.webhooks()]
        seen = {"name": made.name, "listed": listed, "author": sent.author.name}
        seen["by_webhook"] = (await channel.fetch_message(sent.id)).webhook_id == made.id
        seen["edited"] = (await hook.edit_message(sent.id, content="hear ye all")).content
        seen["fetched"] = (await hook.fetch_message(sent.id)).content
        await hook.delete_message(sent.id)
        await hook.delete()
    seen["left"] = len(await channel.webhooks())
    return seen


async def thread(bot, command):
    channel = bot.get_channel(int(command["channel"]))
    start = await channel.send("who brings what?")
    thread = await start.create_thread(name="the feast", auto_archive_duration=1440)
    await thread.send("bread")
    await thread.add_user(discord.Object(int(command["user"])))
    active = lambda threads: [each.name for each in threads if each.parent_id == channel.id]
    seen = {
        "name": thread.name,
        "parent": thread.parent_id == channel.id,
        "members": sorted(str(member.id) for member in await thread.fetch_members()),
        "active": active(await channel.guild.active_threads()),
        "said": [m.content async for m in thread.history() if m.content],
    }
    seen["archived"] = (await thread.edit(archived=True)).archived
    seen["listed"] = [each.name async for each in channel.archived_threads()]
    await thread.delete()
    seen["left"] = len(active(await channel.guild.active_threads()))
    return seen


# As commands of a script: each is given the bot.
COMMANDS = {act.__name__: act for act in [reactions, answer, pins, files, audit, webhook, thread]}
