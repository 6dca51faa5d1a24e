"""A hikari bot, as released, pointed at the server under test. It takes the commands that bot.py takes and those of community.py.

See lantern.py for what it is given.
"""

import asyncio
import base64
import datetime

import hikari

import lantern
from script import report

# Longer than any step takes on a busy machine, in seconds; a test's own deadline is what usually ends a wait.
STEP = 20


intents = hikari.Intents.ALL_UNPRIVILEGED | hikari.Intents.GUILD_MEMBERS | hikari.Intents.GUILD_PRESENCES | hikari.Intents.MESSAGE_CONTENT
bot = lantern.make(intents)
rest = bot.rest


def message(seen):
    return {
        "id": str(seen.id),
        "channel": str(seen.channel_id),
        "guild": str(seen.guild_id) if seen.guild_id else None,
        "author": str(seen.author.id) if seen.author else None,
        "content": seen.content,
        "edited": seen.edited_timestamp.isoformat() if seen.edited_timestamp else None,
    }


# What the library tells its user.


@bot.listen()
async def on_identified(_event: hikari.ShardReadyEvent):
    report("identified")


@bot.listen()
async def on_resumed(_event: hikari.ShardResumedEvent):
    report("resumed")


@bot.listen()
async def on_message(event: hikari.MessageCreateEvent):
    report("message_create", **message(event.message), is_dm=isinstance(event, hikari.DMMessageCreateEvent))


@bot.listen()
async def on_edit(event: hikari.MessageUpdateEvent):
    report("message_update", **message(event.message))


@bot.listen()
async def on_delete(event: hikari.MessageDeleteEvent):
    report("message_delete", id=str(event.message_id), channel=str(event.channel_id))


@bot.listen()
async def on_reaction(event: hikari.ReactionAddEvent):
    report("reaction_add", id=str(event.message_id), emoji=str(event.emoji_name), user=str(event.user_id))


@bot.listen()
async def on_typing(event: hikari.TypingEvent):
    report("typing_start", channel=str(event.channel_id), user=str(event.user_id))


@bot.listen()
async def on_member_add(event: hikari.MemberCreateEvent):
    report("member_add", guild=str(event.guild_id), user=str(event.user_id))


@bot.listen()
async def on_member_remove(event: hikari.MemberDeleteEvent):
    report("member_remove", guild=str(event.guild_id), user=str(event.user_id))


@bot.listen()
async def on_channel_create(event: hikari.GuildChannelCreateEvent):
    report("channel_create", channel=str(event.channel_id), name=event.channel.name)


@bot.listen()
async def on_channel_update(event: hikari.GuildChannelUpdateEvent):
    report("channel_update", channel=str(event.channel_id), name=event.channel.name)


@bot.listen()
async def on_channel_delete(event: hikari.GuildChannelDeleteEvent):
    report("channel_delete", channel=str(event.channel_id))


@bot.listen()
async def on_presence(event: hikari.PresenceUpdateEvent):
    report("presence_update", user=str(event.user_id), status=str(event.presence.visible_status.value))


# What a test may ask of it.


def everything(guild):
    """What the bot's roles allow it, before any overwrites."""
    me = guild.get_member(bot.get_me())
    roles = [guild.get_role(guild.id), *me.get_roles()]
    allowed = hikari.Permissions.NONE
    for role in roles:
        allowed |= role.permissions
    return str(int(allowed))


async def caches(_command):
    me = bot.get_me()
    return {
        "user": {"id": str(me.id), "name": me.username, "bot": me.is_bot},
        "guilds": [
            {
                "id": str(guild.id),
                "name": guild.name,
                "owner": str(guild.owner_id),
                "available": guild.id in bot.cache.get_available_guilds_view(),
                "member_count": guild.member_count,
                "channels": [{"id": str(c.id), "name": c.name, "type": int(c.type)} for c in guild.get_channels().values()],
                "roles": [{"id": str(r.id), "name": r.name, "permissions": str(int(r.permissions))} for r in guild.get_roles().values()],
                "members": [str(id) for id in guild.get_members()],
                "my_permissions": everything(guild),
            }
            for guild in bot.cache.get_guilds_view().values()
        ],
    }


async def fetch_members(command):
    guild = int(command["guild"])
    chunks = bot.stream(hikari.MemberChunkEvent, timeout=STEP).filter(lambda chunk: chunk.nonce == "everyone")
    with chunks:
        await bot.request_guild_members(guild, include_presences=True, nonce="everyone")
        async for chunk in chunks:
            # A guild of this size comes in one.
            return [str(id) for id in chunk.members]


async def send(command):
    reply = int(command["reply_to"]) if command.get("reply_to") else hikari.UNDEFINED
    return message(await rest.create_message(int(command["channel"]), command["content"], reply=reply))


async def edit(command):
    return message(await rest.edit_message(int(command["channel"]), int(command["message"]), command["content"]))


async def delete(command):
    await rest.delete_message(int(command["channel"]), int(command["message"]))


async def history(command):
    return [message(m) for m in await rest.fetch_messages(int(command["channel"])).limit(command["limit"])]


async def typing(command):
    await rest.trigger_typing(int(command["channel"]))


async def converse(command):
    """Answers a message with a reply, a reaction on it, and an edit of the reply."""
    asked = await rest.fetch_message(int(command["channel"]), int(command["message"]))
    reply = await asked.respond("one moment", reply=True)
    await asked.add_reaction("👍")
    return message(await reply.edit("here you are"))


async def write(command):
    """Begins a conversation."""
    return message(await (await rest.fetch_user(int(command["user"]))).send(command["content"]))


async def manage(command):
    """An administrator's afternoon, as in bot.py."""
    guild, member, seen = int(command["guild"]), int(command["member"]), {}
    role = await rest.create_role(guild, name="keeper", color=0x336699, permissions=hikari.Permissions.MANAGE_MESSAGES)
    seen["role"] = {"name": role.name, "color": int(role.color), "permissions": str(int(role.permissions))}
    role = await rest.edit_role(guild, role, name="warden", hoist=True)
    seen["renamed"] = role.name
    await rest.add_role_to_member(guild, member, role)
    seen["given"] = role.id in (await rest.fetch_member(guild, member)).role_ids
    seen["nick"] = (await rest.edit_member(guild, member, nickname="Sir Robin")).nickname

    hidden = hikari.PermissionOverwrite(id=guild, type=hikari.PermissionOverwriteType.ROLE, deny=hikari.Permissions.VIEW_CHANNEL)
    channel = await rest.create_guild_text_channel(guild, "vault", topic="secrets", permission_overwrites=[hidden])
    denied = channel.permission_overwrites[guild].deny
    seen["channel"] = {"name": channel.name, "topic": channel.topic, "hidden": hikari.Permissions.VIEW_CHANNEL in denied}
    view, write = hikari.Permissions.VIEW_CHANNEL, hikari.Permissions.SEND_MESSAGES
    await rest.edit_permission_overwrite(channel, role, allow=view, deny=write)
    opened = (await rest.fetch_channel(channel)).permission_overwrites[role.id]
    seen["overwrite"] = {"view": view in opened.allow, "send": write not in opened.deny}
    channel = await rest.edit_channel(channel, rate_limit_per_user=5)
    seen["slowmode"] = int(channel.rate_limit_per_user.total_seconds())
    invite = await rest.create_invite(channel, max_age=3600, max_uses=2)
    fetched = await rest.fetch_invite(invite.code)
    seen["invite"] = {
        "guild": str(fetched.guild.id),
        "channel": str(fetched.channel.id),
        "uses": invite.max_uses,
        "age": int(invite.max_age.total_seconds()),
    }

    sent = [await rest.create_message(channel, content) for content in ["one", "two", "three", "four"]]
    later = await rest.fetch_messages(channel, after=sent[1])
    seen["after"] = [m.content for m in sorted(later, key=lambda m: m.id, reverse=True)]
    await rest.delete_messages(channel, sent[:3])
    seen["bulk"] = 3
    seen["left"] = [m.content for m in await rest.fetch_messages(channel)]

    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1)
    timed = await rest.edit_member(guild, member, communication_disabled_until=until)
    seen["timeout"] = timed.communication_disabled_until() is not None
    timed = await rest.edit_member(guild, member, communication_disabled_until=None)
    seen["untimed"] = timed.communication_disabled_until() is not None
    await rest.ban_user(guild, member, reason="ni")
    seen["bans"] = [{"user": str(ban.user.id), "reason": ban.reason} for ban in await rest.fetch_bans(guild)]
    await rest.unban_user(guild, member)
    seen["unbanned"] = len(await rest.fetch_bans(guild))
    await rest.delete_channel(channel)
    await rest.delete_role(guild, role)
    left = [item.id for item in [*await rest.fetch_guild_channels(guild), *await rest.fetch_roles(guild)]]
    seen["gone"] = channel.id not in left and role.id not in left
    return seen


def counts(message):
    return {str(reaction.emoji): reaction.count for reaction in message.reactions}


async def reactions(command):
    channel = int(command["channel"])
    vote = await rest.create_message(channel, "vote")
    await vote.add_reaction("👍")
    await vote.add_reaction("🎉")
    of_user = lambda event: str(event.user_id) == command["user"]
    waiting = asyncio.ensure_future(bot.wait_for(hikari.GuildReactionAddEvent, timeout=STEP, predicate=of_user))
    await asyncio.sleep(0)  # The wait begins with its first step.
    report("voting", message=str(vote.id))
    collected = await waiting
    fresh = lambda: rest.fetch_message(channel, vote)
    seen = {"collected": [str(collected.emoji_name)], "counts": counts(await fresh())}
    seen["users"] = sorted([str(user.id) for user in await rest.fetch_reactions_for_emoji(channel, vote, "👍")])
    await vote.remove_reaction("👍")
    seen["taken_back"] = counts(await fresh())
    await vote.remove_all_reactions()
    seen["cleared"] = counts(await fresh())
    return seen


async def answer(command):
    channel = int(command["channel"])
    of_user = lambda event: str(event.author_id) == command["user"]
    waiting = asyncio.ensure_future(bot.wait_for(hikari.GuildMessageCreateEvent, timeout=STEP, predicate=of_user))
    question = await rest.create_message(channel, "who goes there?")
    report("asking", message=str(question.id))
    said = (await waiting).message
    await said.respond("pass", reply=True)
    return {"answer": said.content}


async def pins(command):
    channel = int(command["channel"])
    kept = await rest.create_message(channel, "the rules")
    await rest.pin_message(channel, kept)
    pinned = [pin.message.content for pin in await rest.fetch_pins(channel)]
    seen = {"pinned": pinned, "known": (await rest.fetch_message(channel, kept)).is_pinned}
    await rest.unpin_message(channel, kept)
    seen["unpinned"] = [pin.message.content for pin in await rest.fetch_pins(channel)]
    return seen


async def files(command):
    channel = int(command["channel"])
    file = hikari.Bytes(base64.b64decode(command["bytes"]), "map.bin")
    embed = hikari.Embed(title="The map", description="north is up", color=0x336699).add_field("scale", "1:100")
    sent = await rest.create_message(channel, "found it", attachment=file, embed=embed)
    fetched = await rest.fetch_message(channel, sent)
    (attachment,), (shown,) = fetched.attachments, fetched.embeds
    return {
        "file": {
            "name": attachment.filename,
            "size": attachment.size,
            "description": None,  # It has no way to give one.
            "bytes": base64.b64encode(await attachment.read()).decode(),
        },
        "embed": {
            "title": shown.title,
            "description": shown.description,
            "color": int(shown.color),
            "fields": [{"name": field.name, "value": field.value} for field in shown.fields],
        },
    }


async def audit(command):
    guild, member = int(command["guild"]), int(command["member"])
    role = await rest.create_role(guild, name="herald", permissions=hikari.Permissions.MANAGE_MESSAGES, reason="for the feast")
    await rest.add_role_to_member(guild, member, role, reason="loud voice")
    await rest.kick_user(guild, member, reason="too loud")
    entries = [entry for log in await rest.fetch_audit_log(guild) for entry in log.entries.values()]
    newest = sorted(entries, key=lambda entry: entry.id, reverse=True)[:3]
    line = lambda entry: {
        "action": int(entry.action_type),
        "user": str(entry.user_id),
        "target": str(entry.target_id),
        "reason": entry.reason,
    }
    return {"role": str(role.id), "entries": [line(entry) for entry in newest]}


async def webhook(command):
    channel = int(command["channel"])
    made = await rest.create_webhook(channel, "courier", reason="news")
    sent = await rest.execute_webhook(made.id, made.token, "hear ye", username="Town crier")
    listed = [each.name for each in await rest.fetch_channel_webhooks(channel)]
    seen = {"name": made.name, "listed": listed, "author": sent.author.username}
    seen["by_webhook"] = (await rest.fetch_message(channel, sent)).webhook_id == made.id
    seen["edited"] = (await rest.edit_webhook_message(made.id, made.token, sent, "hear ye all")).content
    seen["fetched"] = (await rest.fetch_webhook_message(made.id, made.token, sent)).content
    await rest.delete_webhook_message(made.id, made.token, sent)
    await rest.delete_webhook(made.id, token=made.token)
    seen["left"] = len(await rest.fetch_channel_webhooks(channel))
    return seen


async def thread(command):
    channel = int(command["channel"])
    guild = (await rest.fetch_channel(channel)).guild_id
    start = await rest.create_message(channel, "who brings what?")
    thread = await rest.create_message_thread(channel, start, "the feast", auto_archive_duration=datetime.timedelta(days=1))
    await rest.create_message(thread, "bread")
    await rest.add_thread_member(thread, int(command["user"]))

    async def active():
        return [each.name for each in await rest.fetch_active_threads(guild) if each.parent_id == channel]

    seen = {
        "name": thread.name,
        "parent": thread.parent_id == channel,
        "members": sorted([str(member.user_id) for member in await rest.fetch_thread_members(thread)]),
        "active": await active(),
        "said": [m.content for m in await rest.fetch_messages(thread) if m.content],
    }
    seen["archived"] = (await rest.edit_channel(thread, archived=True)).is_archived
    seen["listed"] = [each.name for each in await rest.fetch_public_archived_threads(channel)]
    await rest.delete_channel(thread)
    seen["left"] = len(await active())
    return seen


async def forum(command):
    tags = [hikari.ForumTag(name="fruit"), hikari.ForumTag(name="bread")]
    forum = await rest.create_guild_forum_channel(int(command["guild"]), "market", available_tags=tags)
    offered = forum.available_tags
    names = lambda thread: [tag.name for id in thread.applied_tag_ids for tag in offered if tag.id == id]
    post = await rest.create_forum_post(forum, "apples", "the red ones", tags=offered[:1])
    # The message that a post begins with has its id.
    seen = {"post": post.name, "tags": names(post), "begins": (await rest.fetch_message(post, post.id)).content}
    seen["retagged"] = names(await rest.edit_channel(post, applied_tags=offered))
    widened = await rest.edit_channel(forum, available_tags=[*offered, hikari.ForumTag(name="fish")])
    seen["offered"] = [tag.name for tag in widened.available_tags]
    made = await rest.create_webhook(forum, "baker")
    answer = await rest.execute_webhook(made.id, made.token, "five each", thread=post)
    seen["answered"] = [(await rest.fetch_message(post, answer)).content, answer.channel_id == post.id]
    seen["begun"] = None  # It has no way to begin a post with a webhook.
    await rest.delete_channel(forum)
    return seen


async def corners(command):
    guild, channel, user = int(command["guild"]), int(command["channel"]), int(command["user"])
    said = await rest.create_message(channel, "worth telling")
    forwarded = await rest.forward_message(channel, said)
    seen = {"forwarded": forwarded.message_snapshots[0].content}
    await said.add_reaction("👍")
    await said.add_reaction("🎉")
    await said.remove_all_reactions("👍")
    seen["left"] = counts(await rest.fetch_message(channel, said))
    await rest.delete_messages(channel, [said])
    seen["alone"] = 1
    chunks = bot.stream(hikari.MemberChunkEvent, timeout=STEP).filter(lambda chunk: chunk.nonce == "one")
    with chunks:
        await bot.request_guild_members(guild, include_presences=True, users=[user], nonce="one")
        async for chunk in chunks:
            break
    status = lambda id: str(chunk.presences[id].visible_status.value) if id in chunk.presences else "offline"
    seen["member"] = [[str(id), status(id)] for id in chunk.members]
    seen["members"] = (await rest.fetch_guild(guild)).approximate_member_count

    seen["nick"] = (await rest.edit_my_member(guild, nickname="Jack")).nickname
    thread = await rest.create_thread(channel, hikari.ChannelType.GUILD_PUBLIC_THREAD, "aside")
    await rest.leave_thread(thread)
    await rest.join_thread(thread)
    seen["joined"] = [member.user_id == bot.get_me().id for member in await rest.fetch_thread_members(thread)]
    await rest.delete_channel(thread)
    ask = lambda: [rest.fetch_user(user), rest.fetch_channel(channel), rest.fetch_guild(guild)]
    seen["answered"] = len(await asyncio.gather(*(call for _ in range(30) for call in ask())))

    async def refused(call):
        try:
            await call
        except hikari.HTTPResponseError as error:
            return error.status

    seen["missing"] = [await refused(rest.fetch_scheduled_events(guild)), await refused(rest.fetch_guild_stickers(guild))]
    return seen


HANDLERS = [caches, fetch_members, send, edit, delete, history, typing, converse, write, manage]
COMMUNITY = [reactions, answer, pins, files, audit, webhook, thread, forum, corners]


asyncio.run(lantern.run(bot, HANDLERS + COMMUNITY))
