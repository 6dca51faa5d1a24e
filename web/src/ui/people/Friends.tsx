import { sentence } from "../../api/error";
import { type Relationship, RelationshipType, type Status } from "../../api/types";
import { displayName } from "../../state/select";
import { useApp, useModel } from "../context";
import { Avatar } from "../parts/Avatar";
import { IconButton } from "../parts/Button";
import { AtIcon, BackIcon, CheckIcon, CloseIcon, PeopleIcon } from "../parts/icons";
import header from "../chat/ChannelHeader.module.css";
import { FriendRequestForm } from "./dialogs";
import styles from "./people.module.css";

/** Friends, requests and blocks. */
export function Friends({ onBack, onOpen }: { onBack: () => void; onOpen: () => void }) {
  const relationships = useModel((model) => model.relationships);
  const presences = useModel((model) => model.presences);
  const all = Object.values(relationships);
  const of = (type: number) => all.filter((relationship) => relationship.type === type);
  const friends = of(RelationshipType.friend);
  const isOnline = (relationship: Relationship) => (presences[relationship.id] ?? "offline") !== "offline";
  const groups: [string, Relationship[]][] = [
    ["Asks to be your friend", of(RelationshipType.incoming)],
    ["You asked", of(RelationshipType.outgoing)],
    ["Online", friends.filter(isOnline)],
    ["Offline", friends.filter((friend) => !isOnline(friend))],
    ["Blocked", of(RelationshipType.blocked)],
  ];
  return (
    <main className={styles.friends}>
      <header className={header.header}>
        <IconButton className={header.back} label="Guilds and channels" data-testid="back" onClick={onBack}>
          <BackIcon />
        </IconButton>
        <PeopleIcon />
        <h1>Friends</h1>
      </header>
      <div className={styles.page}>
        <FriendRequestForm />
        {all.length === 0 && <p className={styles.empty}>Nobody is here yet. Ask someone by their user name.</p>}
        {groups.map(
          ([title, people]) =>
            people.length > 0 && (
              <section key={title} aria-label={title}>
                <h2>
                  {title} <span>{people.length}</span>
                </h2>
                <ul>
                  {people.map((relationship) => (
                    <Row key={relationship.id} relationship={relationship} status={presences[relationship.id] ?? "offline"} onOpen={onOpen} />
                  ))}
                </ul>
              </section>
            ),
        )}
      </div>
    </main>
  );
}

function Row({ relationship, status, onOpen }: { relationship: Relationship; status: Status; onOpen: () => void }) {
  const app = useApp();
  const { id, type, user } = relationship;
  const name = useModel((model) => relationship.nickname ?? displayName(model, null, id));
  const isFriend = type === RelationshipType.friend;
  const write = () => {
    onOpen();
    app.startPrivate([id]).catch((error: unknown) => app.notify(`The conversation was not opened. ${sentence(error)}`));
  };
  return (
    <li data-testid="relationship" data-name={user.username} data-type={type}>
      <Avatar id={id} name={name} hash={user.avatar ?? null} size={36} {...(isFriend ? { status } : {})} />
      <span className={styles.who}>
        <strong>{name}</strong>
        <small>@{user.username}</small>
      </span>
      {type === RelationshipType.incoming && (
        <IconButton label={`Accept ${name}`} data-testid="friend-accept" onClick={() => void app.acceptFriend(id)}>
          <CheckIcon />
        </IconButton>
      )}
      {isFriend && (
        <IconButton label={`Write to ${name}`} data-testid="friend-write" onClick={write}>
          <AtIcon />
        </IconButton>
      )}
      <IconButton label={ENDS[type] ?? "Remove"} data-testid="friend-end" onClick={() => void app.endRelationship(id)}>
        <CloseIcon />
      </IconButton>
    </li>
  );
}

const ENDS: Record<number, string> = {
  [RelationshipType.friend]: "End the friendship",
  [RelationshipType.blocked]: "Unblock",
  [RelationshipType.incoming]: "Refuse",
  [RelationshipType.outgoing]: "Take the request back",
};
