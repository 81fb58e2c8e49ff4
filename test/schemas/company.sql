-- A company: self references, inheritance, names that only case or blanks tell apart, ranges, intervals, exclusion.
create table "Department" ("DeptNo" char(4) primary key, "Name" text not null unique, budget money, "floor plan" point);
create table employee (
  id integer primary key, manager integer references employee, dept char(4) references "Department" deferrable initially deferred, "Full Name" text not null,
  hired timestamp(3) not null, salary numeric(10,2), employed daterange, shift interval, badge uuid unique, "select" boolean not null default false, "Größe" real);
create table vehicle (plate text primary key, wheels smallint not null, bought date);
create table car (doors smallint, primary key (plate)) inherits (vehicle);
create table truck (load_kg double precision, primary key (plate)) inherits (vehicle);
create table booking (room integer, during tsrange, who integer references employee, primary key (room, during));
insert into "Department" select lpad(g::text, 4, '0'), 'Department ' || g, (g * 1000.5)::numeric::money, point(g, -g) from generate_series(1, 9) g;
insert into employee select g, nullif(g / 2, 0), lpad((g % 9 + 1)::text, 4, '0'), 'Name ' || g, timestamp '1999-12-31 23:59:59.999' + g * interval '1 day 1 ms', g * 1234.56,
  daterange(date '2000-01-01' + g, case when g % 3 > 0 then date '2010-01-01' + g end), make_interval(hours => g, mins => 30), ('00000000-0000-4000-8000-' || lpad(g::text, 12, '0'))::uuid, g % 2 = 0, g / 3.0::real
  from generate_series(1, 120) g;
insert into vehicle values ('V1', 2, '2020-02-29'), ('V2', 3, null);
insert into car select 'C' || g, 4, date 'infinity', g % 5 from generate_series(1, 30) g;
insert into truck select 'T' || g, 6 + g % 3, '4713-01-01 BC', case g % 3 when 0 then 'Infinity' when 1 then '-Infinity' else g * 0.1 end from generate_series(1, 30) g;
insert into booking select g % 5, tsrange(timestamp '2025-01-01' + g * interval '1 hour', timestamp '2025-01-01' + (g + 1) * interval '1 hour', case when g % 2 = 0 then '[)' else '(]' end), g from generate_series(1, 50) g;
