-- A ledger: exact numbers, keys of many parts and types, list and hash partitions, generated and identity keys, circular references.
create type side as enum ('debit', 'credit');
create table currency (code char(3) primary key, digits smallint not null, rate numeric(38, 18) not null);
create table account (id bigint generated always as identity (start with 9007199254740990) primary key, parent bigint, owner integer, currency char(3) references currency, opened date not null);
create table owner (id integer primary key, name text, main bigint references account);
alter table account add foreign key (parent) references account, add foreign key (owner) references owner;
create table entry (account bigint not null, at timestamp not null, side side not null, part numeric(6,3) not null, amount numeric not null, hash bytea, primary key (account, at, side, part)) partition by list (side);
create table entry_debit partition of entry for values in ('debit') partition by hash (account);
create table entry_debit_0 partition of entry_debit for values with (modulus 2, remainder 0);
create table entry_debit_1 partition of entry_debit for values with (modulus 2, remainder 1);
create table entry_credit partition of entry for values in ('credit');
create table total (day date, currency char(3), amounts numeric[] not null, range numrange, counted boolean, primary key (day, currency));
insert into currency values ('EUR', 2, 1), ('JPY', 0, 0.006123456789012345), ('BTC', 8, 91234.000000000000000001);
insert into account (parent, owner, currency, opened) select null, null, (array['EUR', 'JPY', 'BTC'])[g % 3 + 1], date '2000-01-01' + g from generate_series(1, 30) g;
update account set parent = id - 1 where id % 3 = 0 and id > (select min(id) from account);
insert into owner select g, 'Owner ' || g, (select min(id) + g from account) from generate_series(1, 10) g;
update account set owner = (id % 10)::integer + 1 where id % 2 = 0;
insert into entry select id, timestamp '2025-01-01' + n * interval '1 microsecond', (enum_range(null::side))[n % 2 + 1], n / 8.0, (id * n)::numeric * 1.000000000000000000000001, sha256((id || '/' || n)::bytea) from account, generate_series(1, 20) n;
insert into total select date '2025-01-01' + g, (array['EUR', 'JPY', 'BTC'])[g % 3 + 1], array[g, null, 1e-30], numrange(-g, g, '[]'), null from generate_series(0, 99) g;
