"""What a community's bot does with discord.py beyond sending text: each function is one afternoon, each value in its answer is
what the library made of what the server said. node/community.mjs and hikari_bot.py do the same.
"""

import asyncio
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


async def forum(bot, command):
    """A forum with tags, a post that bears them, and a webhook that answers the post and begins one of its own."""
    guild = bot.get_guild(int(command["guild"]))
    tags = [discord.ForumTag(name="fruit"), discord.ForumTag(name="bread")]
    forum = await guild.create_forum("market", available_tags=tags)
    post, begins = await forum.create_thread(name="apples", content="the red ones", applied_tags=[forum.get_tag(forum.available_tags[0].id)])
    names = lambda thread: [tag.name for tag in thread.applied_tags]
    seen = {"post": post.name, "tags": names(post), "begins": begins.content}
    seen["retagged"] = names(await post.edit(applied_tags=forum.available_tags))
    widened = await forum.edit(available_tags=[*forum.available_tags, discord.ForumTag(name="fish")])
    seen["offered"] = [tag.name for tag in widened.available_tags]
    made = await forum.create_webhook(name="baker")
    async with aiohttp.ClientSession() as session:
        hook = discord.Webhook.partial(made.id, made.token, session=session)
        answer = await hook.send("five each", thread=post, wait=True)
        seen["answered"] = [(await post.fetch_message(answer.id)).content, answer.channel.id == post.id]
        begun = await hook.send("still warm", thread_name="rolls", wait=True)
    seen["begun"] = (await bot.fetch_channel(begun.channel.id)).name
    await forum.delete()
    return seen


async def corners(bot, command):
    """What few bots do, and what is not there, which a library must get over."""
    guild, channel = bot.get_guild(int(command["guild"])), bot.get_channel(int(command["channel"]))
    said = await channel.send("worth telling")
    forwarded = await said.forward(channel)
    seen = {"forwarded": forwarded.message_snapshots[0].content}
    await said.add_reaction("👍")
    await said.add_reaction("🎉")
    await said.clear_reaction("👍")
    seen["left"] = counts(await channel.fetch_message(said.id))
    await channel.delete_messages([said])
    seen["alone"] = 1
    members = await guild.query_members(user_ids=[int(command["user"])], presences=True)
    seen["member"] = [[str(member.id), str(member.status)] for member in members]
    seen["members"] = (await bot.fetch_guild(guild.id, with_counts=True)).approximate_member_count

    seen["nick"] = (await guild.me.edit(nick="Jack")).nick
    thread = await channel.create_thread(name="aside", type=discord.ChannelType.public_thread)
    await thread.leave()
    await thread.join()
    seen["joined"] = [member.id == bot.user.id for member in await thread.fetch_members()]
    await thread.delete()
    # More than anyone may ask in a second, each within the limit of its kind: some are refused, and asked again.
    ask = lambda: [bot.fetch_user(int(command["user"])), bot.fetch_channel(channel.id), bot.fetch_guild(guild.id)]
    seen["answered"] = len(await asyncio.gather(*(call for _ in range(30) for call in ask())))

    async def refused(call):
        try:
            await call
        except discord.HTTPException as error:
            return error.status

    seen["missing"] = [await refused(guild.fetch_scheduled_events()), await refused(guild.fetch_stickers())]
    return seen


# As commands of a script: each is given the bot.
COMMANDS = {act.__name__: act for act in [reactions, answer, pins, files, audit, webhook, thread, forum, corners]}
