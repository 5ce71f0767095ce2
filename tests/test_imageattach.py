"""The real SQLAlchemy-ImageAttach, its entities and sessions, over our stacks."""

from __future__ import annotations

import collections
import io
import subprocess
import sys
import threading

from collections.abc import Iterator

import httpx
import pytest

from PIL import Image as Pillow
from sqlalchemy import ForeignKey, MetaData, create_engine, event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    declarative_base,
    mapped_column,
)
from sqlalchemy.pool import NullPool

from tests import wands
from tests.webs import wsgi_server
from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.clock import SystemClock
from tiered_store.errors import ConfigError, NotFoundError, UnavailableError
from tiered_store.foreign import as_store
from tiered_store.imageattach import bridge, revive
from tiered_store.journals.memory import MemoryJournal
from tiered_store.key import Key
from tiered_store.testing import FaultStore
from tiered_store.tiers.memory import MemoryTier
from tiered_store.web.exposed import ExposedStore
from tiered_store.wrappers.cached import CachedStore
from tiered_store.wrappers.replicated import ReplicatedStore


wands.ensure()
revive()

from sqlalchemy_imageattach import stores  # noqa: E402, F401
from sqlalchemy_imageattach.context import current_store, store_context  # noqa: E402
from sqlalchemy_imageattach.entity import Image, image_attachment  # noqa: E402
from sqlalchemy_imageattach.migration import migrate, migrate_class  # noqa: E402
from sqlalchemy_imageattach.store import Store as OriginalStore  # noqa: E402
from sqlalchemy_imageattach.stores.fs import (  # noqa: E402
    FileSystemStore as OriginalFiles,
)


class Base(DeclarativeBase):
    __allow_unmapped__ = True  # the original annotates nothing


class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    picture = image_attachment("UserPicture")


class UserPicture(Base, Image):
    __tablename__ = "user_picture"
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True)


def picture(color: str = "red", size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", size, color).save(file, "png")
    return file.getvalue()


KEY = Key("user-picture", 1, 40, 30, "image/png")


@pytest.fixture
def memory() -> FaultStore:
    return FaultStore(MemoryStore(base_url="https://x/"))


@pytest.fixture
def sessions(tmp_path) -> Iterator[type[Session]]:
    """Make sessions over one database."""
    engine = create_engine(f"sqlite:///{tmp_path}/database", poolclass=NullPool)
    # or sqlite3 begins late, and a savepoint commits
    event.listen(engine, "connect", lambda c, _: setattr(c, "isolation_level", None))
    event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))
    Base.metadata.create_all(engine)

    class Bound(Session):
        def __init__(self) -> None:
            super().__init__(engine)

    yield Bound
    engine.dispose()


@pytest.fixture
def images(memory):
    bridged = bridge(memory)
    with store_context(bridged):
        yield bridged


def new_user(session: Session, number: int = 1, **options) -> User:
    user = User(id=number)
    session.add(user)
    session.flush()
    user.picture.from_blob(picture(**options))
    return user


def keys(store) -> set[Key]:
    return set(store.keys(""))


def test_it_is_a_store_of_the_original(images) -> None:
    """What checks by class accepts it, and the current store is it."""
    assert isinstance(images, OriginalStore)
    assert current_store == images
    assert as_store(images) is not images


def test_an_entity_s_life_over_a_cached_mirror(tmp_path, sessions) -> None:
    """Stored, shown, made smaller, replaced, deleted, on two disks behind a cache."""
    disks = {
        name: FileSystemStore(str(tmp_path / name), "https://x/", create=True)
        for name in ("us", "eu")
    }
    mirror = ReplicatedStore(disks, journal=MemoryJournal())
    stack = CachedStore(mirror, [MemoryTier()])
    with stack, store_context(bridge(stack)), sessions() as session:
        user = new_user(session)
        session.commit()
        url = user.picture.locate()
        assert url.startswith("https://x/user-picture/1/0/1.40x30.png?_ts=2")
        assert user.picture.make_blob() == picture()
        thumbnail = user.picture.generate_thumbnail(width=20)
        session.commit()
        assert thumbnail.size == (20, 15)
        assert 'width="40"' in user.picture.__html__()
        with user.picture.open_file(use_seek=True) as file:
            file.seek(1)
            assert file.read(3) == b"PNG"
        for disk in disks.values():
            assert keys(disk) == {KEY, KEY._replace(width=20, height=15)}
        user.picture.from_blob(picture("blue"))
        session.commit()
        assert user.picture.make_blob() == picture("blue")
        session.delete(user)
        session.commit()
        for disk in disks.values():
            assert keys(disk) == set()


def test_the_data_is_the_original_s(tmp_path, sessions) -> None:
    """What it stored we show, what we store it shows, under the same URLs."""
    theirs = OriginalFiles(str(tmp_path), "https://x/images/")
    ours = bridge(FileSystemStore(str(tmp_path), "https://x/images/"))
    with sessions() as session:
        with store_context(theirs):
            one = new_user(session, 1)
            session.commit()
            url = one.picture.locate()
        with store_context(ours):
            assert one.picture.make_blob() == picture()
            assert one.picture.locate() == url
            two = new_user(session, 123456, color="blue")
            session.commit()
            url = two.picture.locate()
        with store_context(theirs):
            assert two.picture.make_blob() == picture("blue")
            assert two.picture.locate() == url


def test_its_migration_fills_a_stack(tmp_path, sessions) -> None:
    """From a store of its own, for a base and for a class."""
    source = OriginalFiles(str(tmp_path / "old"), "https://x/")
    with store_context(source), sessions() as session:
        for number in (1, 2):
            new_user(session, number).picture.generate_thumbnail(width=20)
        session.commit()
    memory = MemoryStore()
    done: list[Image] = []

    with sessions() as session:
        migrate(session, Base, source, bridge(memory)).execute(done.append)
        assert len(done) == 4
        for image in done:
            key = Key.of(image)
            with source.open(image) as file:
                assert file.read() == memory.get(key).read()
            assert memory.get(key).reproducible is not image.original
        again = MemoryStore()
        plan = migrate_class(
            session=session, cls=UserPicture, source=source, destination=bridge(again)
        )
        assert keys(again) == set()
        assert len(list(plan)) == 4
        assert keys(again) == keys(memory)

        class Old(declarative_base(metadata=MetaData())):  # of the older kind
            __tablename__ = "old"
            id: Mapped[int] = mapped_column(primary_key=True)

        assert list(migrate(session, Old, source, bridge(again))) == []
        with pytest.raises(TypeError, match="declarative_base must be"):
            migrate(session, Session, source, bridge(again))


def test_its_stores_wrap_in_ours(tmp_path) -> None:
    """As the origin of a cache, say; absence is absence."""
    cached = CachedStore(
        as_store(OriginalFiles(str(tmp_path), "https://x/")), [MemoryTier()]
    )
    cached.put(KEY, Body.of(b"x"))
    assert cached.get(KEY).read() == b"x"
    assert cached.url(KEY) == "https://x/user-picture/1/0/1.40x30.png"
    cached.delete(KEY)
    with pytest.raises(NotFoundError):
        cached.get(KEY)


def test_a_rollback_takes_its_own_files_along(images, memory, sessions) -> None:
    """And not those of a session that is about to commit."""
    with sessions() as ours, sessions() as theirs:
        with ours.no_autoflush:
            user = new_user(ours, 1)
            ours.flush()
        assert keys(memory) == {KEY}
        # the original's own set is one for both, so its hook asks to delete ours
        theirs.connection()
        theirs.rollback()
        assert keys(memory) == {KEY}
        ours.commit()
        assert user.picture.make_blob() == picture()


def test_a_rollback_leaves_nothing_behind(images, memory, sessions) -> None:
    """The transaction's own files go."""
    with sessions() as session:
        new_user(session)
        session.flush()
        assert keys(memory) == {KEY}
        session.rollback()
        assert keys(memory) == set()


def test_a_session_that_is_closed_leaves_nothing_behind(
    images, memory, sessions
) -> None:
    """The original hears nothing of it, and keeps the file for ever."""
    with sessions() as session:
        new_user(session)
        session.flush()
    assert keys(memory) == set()


def test_a_closed_session_is_forgotten(images, memory, sessions) -> None:
    """
    What it had stored is nothing that another one's rollback would delete.

    The number may have been given anew, by another process even.
    """
    with sessions() as session:
        new_user(session)
        session.flush()
    assert keys(memory) == set()
    memory.put(KEY, Body.of(picture("blue")))  # as another process does
    memory.fail("delete", times=None)
    with sessions() as session:
        session.connection()
        session.rollback()
    memory.heal()
    assert memory.get(KEY).read() == picture("blue")


def test_a_savepoint_takes_only_its_own_along(images, memory, sessions) -> None:
    """What was stored before it will be committed."""
    with sessions() as session:
        new_user(session, 1)
        session.flush()
        point = session.begin_nested()
        new_user(session, 2)
        session.flush()
        point.rollback()
        assert keys(memory) == {KEY}
        session.commit()
    assert keys(memory) == {KEY}


def test_a_deletion_waits_for_its_own_commit(images, memory, sessions) -> None:
    """Another session's commit, or a savepoint's, is not it; a rollback ends it."""
    with sessions() as session, sessions() as other:
        user = new_user(session)
        session.commit()
        with session.begin_nested():
            session.delete(user)
        assert keys(memory) == {KEY}
        other.connection()
        other.commit()
        assert keys(memory) == {KEY}
        session.rollback()
        assert keys(memory) == {KEY}
        session.delete(session.get(User, 1))
        session.flush()
        other.connection()
        other.rollback()  # which empties the original's list of deletions
        session.commit()
        assert keys(memory) == set()


def test_what_is_stored_and_deleted_at_once_leaves_nothing(
    images, memory, sessions
) -> None:
    """In one transaction; the original takes it for wanted, and keeps the file."""
    with sessions() as session:
        user = new_user(session)
        session.flush()
        session.delete(user)
        session.commit()
        assert keys(memory) == set()
        user = new_user(session)
        user.picture.from_blob(picture("blue"))  # which deletes, and is wanted
        session.commit()
        assert user.picture.make_blob() == picture("blue")


def test_a_replaced_picture_comes_back_at_a_rollback(images, sessions) -> None:
    """One of the same size has the same name; the original loses both."""
    with sessions() as session:
        user = new_user(session, color="red")
        session.commit()
        user.picture.from_blob(picture("blue"))
        session.flush()
        assert user.picture.make_blob() == picture("blue")
        session.rollback()
        assert user.picture.make_blob() == picture("red")


def test_a_put_that_raised_is_cleaned_up_after(images, memory, sessions) -> None:
    """It may have happened all the same."""
    memory.fail("put", after_apply=True)
    with sessions() as session:
        new_user(session)
        with pytest.raises(UnavailableError):
            session.flush()
        session.rollback()
    assert keys(memory) == set()


def test_a_row_that_is_refused_takes_nobody_s_file_along(
    images, memory, sessions
) -> None:
    """Two requests made the same thumbnail, and the database let one of them in."""
    with sessions() as ours, sessions() as theirs:
        new_user(ours)
        ours.commit()
        double = UserPicture(user_id=1, size=(40, 30), mimetype="image/png")
        double.original = False
        double.file, double.store = io.BytesIO(picture("blue")), current_store
        theirs.add(double)
        with pytest.raises(IntegrityError):
            theirs.flush()
        theirs.rollback()
    assert memory.get(KEY).read() == picture("red")


class Later(SystemClock):
    """An hour ahead, so that what was just stored was stored long ago."""

    def time(self) -> float:
        return super().time() + 3600


def test_a_deletion_that_fails_does_not_fail_the_commit(
    memory, sessions, caplog
) -> None:
    """The database has committed; the file goes at the next end of a transaction."""
    images = bridge(memory, clock=Later())
    with store_context(images), sessions() as session:
        user = new_user(session)
        session.commit()
        memory.fail("delete")
        session.delete(user)
        session.commit()
        assert list(images.undone) == [KEY]
        assert "left behind" in caplog.text
        assert keys(memory) == {KEY}
        memory.fail("delete")
        new_user(session, 3)
        session.flush()
        session.rollback()  # whose own file goes, while the other is still there
        assert list(images.undone) == [KEY]
        new_user(session, 2)
        session.commit()
        assert images.undone == {}
        assert keys(memory) == {KEY._replace(object_id=2)}


def test_what_another_process_stores_again_is_not_deleted_late(
    images, memory, sessions
) -> None:
    """It knows nothing of the deletion that is still to be made here."""
    with sessions() as session:
        user = new_user(session)
        session.commit()
        memory.fail("delete", times=None)
        session.delete(user)
        session.commit()
        memory.heal()
        assert list(images.undone) == [KEY]
        with store_context(bridge(memory)), sessions() as theirs:
            new_user(theirs, color="blue")
            theirs.commit()
        new_user(session, 2)
        session.commit()
        images.retry()
    assert memory.get(KEY).read() == picture("blue")


def test_what_is_stored_again_is_not_deleted_late(images, memory, sessions) -> None:
    """A deletion that could not be made is off once somebody wants the object."""
    with sessions() as session:
        user = new_user(session)
        session.commit()
        memory.fail("delete", times=None)
        session.delete(user)
        session.commit()
        memory.heal()
        new_user(session, color="blue")
        session.commit()
    assert memory.get(KEY).read() == picture("blue")


def test_a_deletion_that_is_asked_for_directly_raises(images, memory, sessions) -> None:
    """Whoever calls can do something about it."""
    with sessions() as session:
        user = new_user(session)
        session.commit()
        memory.fail("delete")
        with pytest.raises(UnavailableError):
            images.delete(user.picture.original)
        images.delete(user.picture.original)
    assert keys(memory) == set()


def test_sessions_in_threads_keep_apart(images, memory, sessions) -> None:
    """Half of them roll back; the others' files stay."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with store_context(images), sessions() as session:
                for turn in range(10):
                    key = KEY._replace(object_id=number * 100 + turn)
                    image = UserPicture(
                        user_id=key.object_id, size=(40, 30), mimetype="image/png"
                    )
                    image.original = True
                    image.file, image.store = io.BytesIO(picture()), current_store
                    session.add(image)
                    with lock:  # the database is one connection
                        session.flush()
                        assert key in keys(memory)
                        (session.commit if turn % 2 else session.rollback)()
        except BaseException as error:
            failures.append(error)

    lock = threading.Lock()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    odd = {100 * n + turn for n in range(4) for turn in range(1, 10, 2)}
    assert {key.object_id for key in keys(memory)} == odd


class Signed(MemoryStore):
    def _url(self, key: Key) -> str:
        return f"https://bucket/{key.object_id}?X-Amz-Signature=abc"


def test_a_signed_url_survives_what_is_appended(sessions) -> None:
    """By whatever way it is located, the server sees what was signed."""
    with store_context(bridge(Signed())), sessions() as session:
        user = new_user(session)
        session.commit()
        located = [
            user.picture.locate(),
            current_store.locate(user.picture.original),
            bridge(Signed()).locate(user.picture.original),
        ]
        for url in located:
            assert "_ts=" in url
            sent = httpx.URL(url)
            assert sent.raw_path == b"/1?X-Amz-Signature=abc"


def test_the_middleware_shows_the_entities(sessions) -> None:
    """As ``HttpExposedFileSystemStore`` does, over any stack."""
    exposed = ExposedStore(MemoryStore(), "images")
    bridged = bridge(exposed)

    def application(environ, start):
        with store_context(bridged), sessions() as session:
            user = new_user(session)
            session.commit()
            start("200 OK", [("Content-Type", "text/plain")])
            return [user.picture.locate().encode()]

    with wsgi_server(exposed.wsgi_middleware(application)) as where:
        located = httpx.get(where).text
        assert located.startswith(f"{where}images/user-picture/1/40x30.png?_ts=")
        shown = httpx.get(located)
        assert (shown.status_code, shown.content) == (200, picture())


def test_only_the_original_sees_what_it_misses() -> None:
    """No name is left in the standard library, in a process where all is new."""
    program = (
        "import collections, sys\n"
        "from tests import wands; wands.ensure()\n"
        "from tiered_store.imageattach import bridge, revive\n"
        "from tiered_store import MemoryStore, ConfigError\n"
        "try: bridge(MemoryStore())\n"
        "except ConfigError as error: assert 'revive()' in str(error), error\n"
        "else: raise AssertionError\n"
        "revive(); revive(); bridge(MemoryStore())\n"
        "assert not hasattr(collections, 'Iterator')\n"
        "assert 'cgi' not in sys.modules\n"
        "assert 'sqlalchemy.ext.declarative.api' not in sys.modules\n"
    )

    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True
    )

    assert ran.returncode == 0, ran.stderr
    assert not hasattr(collections, "Iterator")
    assert ConfigError
