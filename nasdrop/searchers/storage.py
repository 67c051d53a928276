"""Where a study is kept: a journal file for the processes of one host, a database for those of many.

The study is made by the search before any worker starts; tables are made by one process at a time.
"""

import json
import random
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.study import StudyDirection
from sqlalchemy import NullPool, create_engine, func, make_url, select
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError, PendingRollbackError, SQLAlchemyError

from nasdrop import config
from nasdrop.errors import InputError, RunError, RunFolderError, redacted
from nasdrop.files import digest, write_json
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.journal import open_journal, repair
from nasdrop.searchers.result import Observer
from nasdrop.settings import Experiment

Place = Path | str
"""A journal's path, or a database URL such as postgresql+psycopg://user@host/name."""

EXPERIMENT = "experiment.toml"
_SECRETS = ("password", "passwd", "pwd", "sslpassword")  # that a URL's query may hold
_LOCK = 0x6E617364726F70  # "nasdrop": the key of PostgreSQL's advisory lock
_LONGEST_OUTAGE = 600.0  # seconds
_LONGEST_PAUSE = 5.0  # seconds between two attempts


def open_study(place: Place, name: str, observer: Observer, num_costs: int = 0) -> optuna.Study:
    """The study of that name, of a value to maximise and costs to minimise; made if missing.

    Raises:
        RunFolderError: the journal is damaged.
        InputError: the database cannot be used.
    """
    if isinstance(place, Path):
        if line := repair(place):
            observer.note(line)
        place.parent.mkdir(parents=True, exist_ok=True)
    storage = open_storage(place)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # the observer tells what happens
    if name not in optuna.get_all_study_names(storage):  # load_if_exists would write even when nothing is left to do
        directions = [StudyDirection.MAXIMIZE] + num_costs * [StudyDirection.MINIMIZE]
        optuna.create_study(storage=storage, study_name=name, directions=directions)
    return optuna.load_study(storage=storage, study_name=name)


def find_study(place: Place, name: str) -> optuna.Study:
    """A study that exists, opened without writing.

    Raises:
        RunFolderError: there is none, or its journal is damaged.
        InputError: the database cannot be used.
    """
    if isinstance(place, Path) and not place.exists():
        raise RunFolderError(f"{place}: no such study")
    storage = open_storage(place)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.load_study(storage=storage, study_name=name)
    except KeyError:
        raise RunFolderError(f"{without_password(str(place))}: holds no study {name!r}") from None


def place_of(folder: RunFolder, experiment: Experiment) -> tuple[Place, str]:
    """Where the study of a claimed run folder is, and its name there.

    In a database, which may hold many, the name has a digest of all that makes this experiment what it is.

    Raises:
        RunFolderError: a database is given for a run whose study is in a journal.
    """
    known = _place_known(folder)
    url = folder.database or known.get("url", "")
    if not url:
        return folder.journal, experiment.name
    if folder.journal.exists():
        raise RunFolderError(f"{folder.journal}: the study of this run is here, got storage {without_password(url)}")
    if "study" not in known:
        identity = folder.read_json(folder.identity)
        what = json.dumps([identity["settings"], identity["sources"]], sort_keys=True)
        known = {"url": without_password(url), "study": f"{experiment.name}-{digest(what)[:8]}"}
        write_json(folder.storage, known)
    return url, known["study"]


def _place_known(folder: RunFolder) -> dict[str, str]:
    """What a run folder says of its study's database; empty if nothing."""
    known = folder.read_json(folder.storage) if folder.storage.exists() else {}
    if not isinstance(known, dict) or not all(isinstance(value, str) for value in known.values()):
        raise RunFolderError(f"{folder.storage}: damaged: must hold texts, url and study")
    return known


def publish(study: optuna.Study, folder: RunFolder, experiment: Experiment) -> None:
    """Keep in the study all that a worker on another host needs."""
    sources = {str(path.relative_to(folder.sources)): path.read_text() for path in _files(folder.sources)}
    wanted = {"experiment": config.dump(experiment), "sources": sources}
    known = study.user_attrs
    for key, value in wanted.items():
        if known.get(key) != value:
            study.set_user_attr(key, value)


def fetch(url: str, name: str, out: Path | None) -> RunFolder:
    """A run folder on this host for a study in a database, claimed for the study's experiment.

    Args:
        url: of the database.
        name: of the study.
        out: the folder; by default `runs/<name>`.

    Raises:
        InputError: there is no such database or study, or the folder belongs to another experiment.
    """
    attributes = find_study(url, name).user_attrs
    if "experiment" not in attributes:
        raise RunFolderError(f"{without_password(url)}: study {name!r} is not one of nasdrop's, or not begun")
    folder = RunFolder(out or Path("runs") / name, database=url)
    with tempfile.TemporaryDirectory() as scratch:
        paths = {}
        for file, text in {**attributes["sources"], EXPERIMENT: attributes["experiment"]}.items():
            if Path(file).name != file or file in ("", ".", ".."):
                raise RunFolderError(f"study {name!r}: a source must be a plain name of a file, got {file!r}")
            paths[file] = Path(scratch) / file
            paths[file].write_text(text)
        experiment = config.load(Experiment, paths.pop(EXPERIMENT))
        folder.claim(experiment, paths)
    write_json(folder.storage, {"url": without_password(url), "study": name})
    return folder


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def open_storage(place: Place) -> BaseStorage:
    """Optuna's storage at a place; a database's waits while the database is away.

    Raises:
        RunFolderError: the journal is damaged.
        InputError: the database cannot be used.
    """
    if isinstance(place, Path):
        return open_journal(place)
    shown = without_password(place)
    try:
        with _alone(place):
            storage = RDBStorage(place, engine_kwargs={"pool_pre_ping": True})
    except ImportError as error:
        raise InputError(f"storage {shown}: its driver is missing: {error}; pip install 'nasdrop[postgres]'") from None
    except (SQLAlchemyError, StorageInternalError, ValueError, RuntimeError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise InputError(f"storage {shown}: cannot be used: {reason}") from None
    patient: BaseStorage = PatientStorage(get_storage(storage))
    weakref.finalize(patient, storage.engine.dispose)  # close connections, rather than leave it to the collector
    return patient


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """Hold back other processes that open the same database: whoever comes first makes the tables, and they collide."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:  # the lock ends with the connection
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_lock(_LOCK)))
        yield


def without_password(url: str) -> str:
    """A URL that may be shown and written down; the driver takes the password from PGPASSWORD or ~/.pgpass."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return redacted(url)
    secrets = [key for key in parsed.query if key.lower() in _SECRETS]
    if parsed.password is None and not secrets:
        return url
    bare = parsed._replace(password=None, username=parsed.username or None).difference_update_query(secrets)
    return bare.render_as_string(hide_password=False)


class _Patient:
    """Calls again what failed because the database is away."""

    def __init__(
        self, inner: BaseStorage, longest: float = _LONGEST_OUTAGE, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.inner, self.longest, self.sleep = inner, longest, sleep
        self._dice = random.Random()  # noqa: S311 - jitter, so that workers do not knock all at once
        self._lock = threading.Lock()

    def call(self, name: str, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """Call a method of the storage.

        Raises:
            RunError: the database stayed away for too long.
        """
        waited, pause = 0.0, 0.1
        while True:
            try:
                return getattr(self.inner, name)(*arguments, **options)
            except (SQLAlchemyError, StorageInternalError) as error:
                if not is_outage(error):
                    raise
                if waited >= self.longest:
                    reason = str(error.__cause__ or error).strip().splitlines()[0]
                    raise RunError(f"storage: away for more than {self.longest:g} s: {reason}") from error
            with self._lock:
                wait = pause * self._dice.uniform(0.5, 1.5)
            self.sleep(wait)
            waited, pause = waited + wait, min(2 * pause, _LONGEST_PAUSE)


def is_outage(error: BaseException) -> bool:
    """Whether the database, rather than what was asked of it, is the trouble."""
    kinds = (OperationalError, InterfaceError, PendingRollbackError)
    return isinstance(error, kinds) or isinstance(error.__cause__, kinds)


def _forward(name: str) -> Callable[..., Any]:
    def method(self: _Patient, *arguments: Any, **options: Any) -> Any:
        return self.call(name, arguments, options)

    return method


_METHODS = [name for name, member in vars(BaseStorage).items() if callable(member) and not name.startswith("_")]
PatientStorage = type("PatientStorage", (_Patient, BaseStorage), {name: _forward(name) for name in _METHODS})
"""A storage each of whose methods waits while the database is away, and gives up after ten minutes."""
