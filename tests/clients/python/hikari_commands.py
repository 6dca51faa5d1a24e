"""A hikari bot with commands, buttons, menus and modals, as released. It does what node/commands.mjs does.

See lantern.py for what it is given.
"""

import asyncio
import functools

import hikari

import lantern
from script import report

# Longer than any step takes on a busy machine, in seconds; a test's own deadline is what usually ends a wait.
STEP = 20

bot = lantern.make(hikari.Intents.GUILDS | hikari.Intents.GUILD_MESSAGES)
rest = bot.rest

CREATE, UPDATE = hikari.ResponseType.MESSAGE_CREATE, hikari.ResponseType.MESSAGE_UPDATE
HIDDEN = hikari.MessageFlag.EPHEMERAL


def option(kind, name, description, **more):
    return hikari.CommandOption(type=kind, name=name, description=description, **more)


def commands():
    slash, menu = rest.slash_command_builder, rest.context_menu_command_builder
    kinds = hikari.OptionType
    title = option(kinds.STRING, "title", "Its title", is_required=True, autocomplete=True)
    return [
        slash("greet", "Greets someone")
        .add_option(option(kinds.USER, "whom", "Whom", is_required=True))
        .add_option(option(kinds.INTEGER, "times", "How often", min_value=1, max_value=3))
        .add_option(option(kinds.STRING, "how", "How", choices=[hikari.CommandChoice(name="Loudly", value="loud")])),
        slash("find", "Finds things").add_option(option(kinds.SUB_COMMAND, "book", "A book", options=[title])),
        slash("game", "Buttons, a menu and a form"),
        slash("menus", "Menus of people, roles and channels"),
        slash("slow", "Takes its time"),
        slash("secret", "Between you and me"),
        slash("silent", "Never answers"),
        menu(hikari.CommandType.USER, "Wave"),
        menu(hikari.CommandType.MESSAGE, "Quote"),
    ]


async def register(command):
    guild = int(command["guild"])
    application = await rest.fetch_application()
    everywhere = await rest.set_application_commands(application, commands())
    here = await rest.create_slash_command(application, "here", "Only here", guild=guild)
    renamed = await rest.edit_application_command(application, here, guild, description="Only in this guild")
    await rest.delete_application_command(application, here, guild)
    return {
        "names": sorted(each.name for each in everywhere),
        "renamed": renamed.description,
        "left": len(await rest.fetch_application_commands(application, guild)),
    }


def using(interaction):
    """Whatever the same user does with components and forms from now on. What comes while nobody waits is kept, so a test need not
    wait for `listens`, and does because it must with the other libraries."""
    kinds = (hikari.ComponentInteractionCreateEvent, hikari.ModalInteractionCreateEvent)
    is_it = lambda event: isinstance(event, kinds) and event.interaction.user.id == interaction.user.id
    return bot.stream(hikari.InteractionCreateEvent, timeout=STEP).filter(is_it)


async def used(stream, custom_id):
    report("listens", id=custom_id)
    async for event in stream:
        if event.interaction.custom_id == custom_id:
            return event.interaction


def texts(modal):
    return {field.custom_id: field.value for row in modal.components for field in row.components}


def buttons(*ids):
    row = rest.build_message_action_row()
    for id in ids:
        row.add_interactive_button(hikari.ButtonStyle.PRIMARY, id, label=id.title())
    return row


def menu_row(kind, custom_id, **more):
    return rest.build_message_action_row().add_select_menu(kind, custom_id, min_values=1, **more)


async def greet(interaction):
    given = {option.name: option.value for option in interaction.options}
    whom = given["whom"]
    report(
        "greeted",
        whom=str(interaction.resolved.users[whom].id),
        member=str(interaction.resolved.members[whom].id),
        times=given.get("times"),
        how=given.get("how"),
        by=str(interaction.member.id),
        channel=str(interaction.channel.id),
        may=hikari.Permissions.SEND_MESSAGES in interaction.member.permissions,
        app=hikari.Permissions.VIEW_CHANNEL in interaction.app_permissions,
    )
    await interaction.create_initial_response(CREATE, f"Hello <@{whom}>", user_mentions=True)
    reply = await interaction.fetch_initial_response()
    report("replied", id=str(reply.id), content=reply.content, command=str(reply.interaction_metadata.user.id))
    try:
        await interaction.create_initial_response(CREATE, "again")
    except hikari.BadRequestError as error:
        report("refused", code=error.code)
    await interaction.delete_initial_response()


async def find(interaction):
    (book,) = interaction.options
    (title,) = book.options
    await interaction.create_initial_response(CREATE, f"found {book.name} {title.value}")


async def complete(interaction):
    (title,) = interaction.options[0].options
    assert title.is_focused
    choice = hikari.impl.AutocompleteChoiceBuilder(name=f"{title.value}menghast", value=f"title:{title.value}")
    await interaction.create_response([choice])


async def game(interaction):
    pick = rest.build_message_action_row().add_text_menu("pick", min_values=1, max_values=2)
    for color in ["red", "blue", "green"]:
        pick.add_option(color.title(), color)
    with using(interaction) as stream:
        answer = await interaction.create_initial_response(CREATE, "round 1", components=[buttons("next", "ask"), pick.parent])
        await (await used(stream, "next")).create_initial_response(UPDATE, "round 2")
        picked = await used(stream, "pick")
        await picked.create_initial_response(hikari.ResponseType.DEFERRED_MESSAGE_UPDATE)
        await picked.edit_initial_response(f"picked {' and '.join(picked.values)}")
        form = rest.build_modal_action_row().add_text_input("name", "Your name")
        await (await used(stream, "ask")).create_modal_response("Tell me", "form", component=form)
        modal = await used(stream, "form")
    await modal.create_initial_response(UPDATE, f"hello {texts(modal)['name']}", components=[])
    more = await modal.execute("well played")
    message = str(answer.resource.message.id)
    report("played", **{"message": message, "followed": str(more.id), "from": str(modal.message.id) == message})


async def menus(interaction):
    kinds = hikari.ComponentType
    rows = [
        menu_row(kinds.USER_SELECT_MENU, "user"),
        menu_row(kinds.ROLE_SELECT_MENU, "role"),
        rest.build_message_action_row().add_channel_menu("channel", channel_types=[hikari.ChannelType.GUILD_TEXT], min_values=1),
        menu_row(kinds.MENTIONABLE_SELECT_MENU, "both", max_values=2),
    ]
    fields = [
        rest.build_modal_action_row().add_text_input("who", "Who"),
        rest.build_modal_action_row().add_text_input(
            "story", "What happened", style=hikari.TextInputStyle.PARAGRAPH, min_length=5, max_length=200
        ),
        rest.build_modal_action_row().add_text_input("more", "Anything else", required=False),
    ]
    with using(interaction) as stream:
        await interaction.create_initial_response(CREATE, "choose", components=rows)
        for menu in ["user", "role", "channel", "both"]:
            choice = await used(stream, menu)
            found = choice.resolved
            names = [thing.name for thing in [*found.roles.values(), *found.channels.values()]]
            names += [user.username for user in found.users.values()]
            report("picked", menu=menu, names=sorted(names))
            if menu != "both":
                await choice.create_initial_response(UPDATE, f"{menu} picked")
        await choice.create_modal_response("Report", "report", components=fields)
        modal = await used(stream, "report")
    await modal.create_initial_response(hikari.ResponseType.DEFERRED_MESSAGE_CREATE, flags=HIDDEN)
    said = texts(modal)
    file = lambda name: hikari.Bytes(name.encode(), name)
    kept = await modal.edit_initial_response("|".join(said[id] for id in ["who", "story", "more"]), attachment=file("kept.txt"))
    more = await modal.execute("a copy", attachment=file("copy.txt"), flags=HIDDEN)
    files = [each.filename for each in [*kept.attachments, *more.attachments]]
    report("noted", files=files, hidden=HIDDEN in more.flags)


async def slow(interaction):
    await interaction.create_initial_response(hikari.ResponseType.DEFERRED_MESSAGE_CREATE)
    await interaction.edit_initial_response("done at last")
    more = await interaction.execute("and more")
    await interaction.edit_message(more, "and even more")
    report("slow", replied=True, followed=str(more.id))


async def secret(interaction):
    with using(interaction) as stream:
        await interaction.create_initial_response(CREATE, "psst", flags=HIDDEN)
        await interaction.edit_initial_response("psst!", component=buttons("hush"))
        message = await interaction.fetch_initial_response()
        pressed = await used(stream, "hush")
    await pressed.create_initial_response(UPDATE, "hushed", components=[])
    await pressed.execute("not a word", flags=HIDDEN)
    await interaction.delete_initial_response()
    report("hushed", ephemeral=HIDDEN in message.flags)


async def silent(_interaction):
    pass


async def wave(interaction):
    (whom,) = interaction.resolved.users.values()
    await interaction.create_initial_response(CREATE, f"{interaction.user.username} waves at {whom.username}")


async def quote(interaction):
    (message,) = interaction.resolved.messages.values()
    await interaction.create_initial_response(CREATE, f"> {message.content}")


HANDLERS = {act.__name__: act for act in [greet, find, game, menus, slow, secret, silent]} | {"Wave": wave, "Quote": quote}


def reporting(act):
    """Whatever goes wrong in a bot's listener the test is told."""

    @functools.wraps(act)
    async def listener(event):
        try:
            await act(event)
        except Exception as error:
            report("error", message=repr(error))

    return listener


async def on_command(event: hikari.CommandInteractionCreateEvent):
    await HANDLERS[event.interaction.command_name](event.interaction)


async def on_autocomplete(event: hikari.AutocompleteInteractionCreateEvent):
    await complete(event.interaction)


bot.subscribe(hikari.CommandInteractionCreateEvent, reporting(on_command))
bot.subscribe(hikari.AutocompleteInteractionCreateEvent, reporting(on_autocomplete))

asyncio.run(lantern.run(bot, [register]))
