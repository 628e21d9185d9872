-- A database as the first version of imgpool wrote it (`iterdump`): 6 accepted, 2 of them deleted.
BEGIN TRANSACTION;
CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "counts" VALUES('accepted',6);
INSERT INTO "counts" VALUES('deleted',2);
INSERT INTO "counts" VALUES('done',1);
INSERT INTO "counts" VALUES('failed',1);
INSERT INTO "counts" VALUES('processing',1);
INSERT INTO "counts" VALUES('queued',1);
CREATE TABLE images (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'processing', 'done', 'failed')),
    bytes INTEGER NOT NULL,
    format TEXT NOT NULL,
    width INTEGER,
    height INTEGER,
    received_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    wait_s REAL,
    service_s REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    variants TEXT NOT NULL DEFAULT '[]'
);
INSERT INTO "images" VALUES(1,'00000000000000000000000000000001','1.jpg','done',1001,'jpeg',40,30,101.0,200.0,300.0,0.5,0.25,1,NULL,'[{"name": "thumb", "filename": "thumb.jpg", "format": "jpeg", "width": 4, "height": 3, "bytes": 99}]');
INSERT INTO "images" VALUES(2,'00000000000000000000000000000002','2.jpg','failed',1002,'jpeg',40,30,102.0,200.0,300.0,0.5,0.25,1,'The file is cut short.','[]');
INSERT INTO "images" VALUES(4,'00000000000000000000000000000004','4.jpg','processing',1004,'jpeg',40,30,104.0,200.0,NULL,NULL,NULL,1,NULL,'[]');
INSERT INTO "images" VALUES(5,'00000000000000000000000000000005','5.jpg','queued',1005,'jpeg',40,30,105.0,NULL,NULL,NULL,NULL,0,NULL,'[]');
CREATE INDEX images_by_state ON images (state, sequence);
CREATE INDEX images_by_end ON images (finished_at) WHERE finished_at IS NOT NULL;
CREATE TRIGGER count_added AFTER INSERT ON images BEGIN
    UPDATE counts SET n = n + 1 WHERE name IN ('accepted', NEW.state);
END;
CREATE TRIGGER count_moved AFTER UPDATE OF state ON images WHEN OLD.state <> NEW.state BEGIN
    UPDATE counts SET n = n - 1 WHERE name = OLD.state;
    UPDATE counts SET n = n + 1 WHERE name = NEW.state;
END;
CREATE TRIGGER count_deleted AFTER DELETE ON images BEGIN
    UPDATE counts SET n = n - 1 WHERE name = OLD.state;
    UPDATE counts SET n = n + 1 WHERE name = 'deleted';
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('images',6);
COMMIT;
PRAGMA user_version = 1;
