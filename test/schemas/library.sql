-- A library: json, hstore-like maps, network addresses, bits, trees by path, triggers, large texts, composite and nested types.
create type address as (street text, number integer, city text);
create domain isbn as text check (value ~ '^[0-9X-]{10,17}$');
create table branch (code text collate "C" primary key, place address, opening jsonb not null default '{}', subnet cidr, printer inet, mac macaddr, flags bit(5), mask bit varying(9));
create table book (isbn isbn primary key, title text not null, tags text[] not null default '{}', meta json, changed timestamptz default now(), pages integer check (pages > 0), price numeric);
create table copy_of (isbn isbn not null references book on delete cascade, branch text not null references branch on update cascade, number integer not null, bought date, primary key (isbn, branch, number));
create table shelf (path text primary key, parent text references shelf (path), labels text[][]);
create table loan (id uuid primary key, isbn isbn references book, at timestamptz not null, due timestamptz, back timestamptz, note text, length interval generated always as (due - at) stored);
create function touch() returns trigger language plpgsql as $$ begin new.changed := '2025-05-05 05:05:05.5+00'; return new; end $$;
create trigger touch before update on book for each row execute function touch();
insert into branch select 'b' || g || case when g % 2 = 0 then 'Ä' else 'a' end, row('Main "St", ' || g, g, null)::address, jsonb_build_object('mo', array[8, 18], 'né', null, 'n', 1e400::numeric), ('10.' || g || '.0.0/16')::cidr, ('fe80::' || g)::inet, '08:00:2b:01:02:03', B'10101', case when g % 3 > 0 then B'101' end from generate_series(1, 20) g;
insert into book select lpad(g::text, 10, '0'), case when g % 9 = 0 then repeat('long ', 20000) else 'Title ' || chr(200 + g) end, array['x', 'y "z"', ''], ('{"b": 1, "a": [1.50, ' || g || '], "b": 2}')::json, timestamptz '2025-03-30 01:30:00+01' + g * interval '30 min', g, case g % 4 when 0 then 'NaN' when 1 then g * 1e-20 when 2 then g * 1e30 end from generate_series(1, 80) g;
update book set title = title || '!' where pages % 10 = 0;
insert into copy_of select lpad(g::text, 10, '0'), 'b' || (g % 20 + 1) || case when (g % 20 + 1) % 2 = 0 then 'Ä' else 'a' end, n, null from generate_series(1, 80) g, generate_series(1, 2) n;
insert into shelf values ('a', null, '{{x,y},{z,NULL}}'), ('a.b', 'a', null), ('a.b.c', 'a.b', '{}'), ('a.d', 'a', '{{"",","}}');
insert into loan select ('00000000-0000-4000-8000-' || lpad(g::text, 12, '0'))::uuid, lpad((g % 80 + 1)::text, 10, '0'), timestamptz '0001-01-01 00:00:00+00 BC' + g * interval '40 years', null, 'infinity', null from generate_series(1, 50) g;
