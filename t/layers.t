#!/usr/bin/perl

# The rooms of src/: which room a file belongs to, and which files it may
# include.  It reads each #include "...", so the picture in docs/development.md stays true.

use strict;
use warnings;
use File::Basename qw(basename dirname);
use File::Find;
use File::Spec;
use File::Temp;
use Test::More;

my $top = File::Spec->rel2abs(dirname(__FILE__) . '/..');

# From the upper to the lower.  A file includes headers of its own room and of
# the rooms below; rooms in one line may not include each other.  A name stands
# for ngx_http_chatmaid_NAME.c and .h; a room without a name is src/ itself.

my @LAYERS = (
    {'' => [qw(module filter variables count)]},
    {
        gateway => [qw(gateway gateway_conf internal uri flow send message sender
            idempotency send_claim read wait wait_query wait_topic wait_poll
            message_status retry operation health pace_conf)],
        webhook => [qw(webhook webhook_request webhook_verify webhook_deliver
            webhook_delivery webhook_inbox webhook_event webhook_signature
            webhook_conf)],
        status  => [qw(status status_conf status_metrics
            status_accounts status_writer status_page)],
    },
    {call   => [qw(call call_head call_peer call_request api_key call_envelope call_result
        call_error call_pace)]},
    {answer => [qw(answer facts problem problem_native error_page)]},
    {store  => [qw(store lease zone store_zone store_redis store_claim
        store_look store_untold untold_queue store_script notes account_limits
        zone_account
        upstream_state zone_conf zone_stat
        streams pace_queue pace_places pace_state pace_clock)]},
    {redis  => [qw(redis_mget redis redis_cluster redis_slot redis_node redis_told
        redis_health redis_command redis_redirect redis_fifo redis_script redis_buffer
        redis_topology redis_sentinel redis_conn redis_greeting redis_reader redis_resolve redis_address
        redis_refusal redis_conf redis_url redis_tls)]},
    {util   => [qw(steps json json_parser json_fault json_text json_tree
        json_write crypto body body_limit query request secret_file escape digits
        conf_place conf_slot rewrite alarm redact counters)]},
);

# Configuration types and forward declarations: for everybody, so it may include
# nothing of ours.

my $SHARED = 'ngx_http_chatmaid.h';

# The scripts of the store and the status page, what makes C strings of them, and
# the headers made, each for a room.

my $SCRIPTS = qr{^(?:store/(?:[a-z_]+\.lua|lua_strings\.sh)|status/(?:page\.(?:css|html|js)|page_strings\.sh))\z};
my %MADE    = ('ngx_http_chatmaid_lua.h' => 'store', 'ngx_http_chatmaid_page.h' => 'status');

my (%room_of, %layer_of, %files, %includes);

for my $i (0 .. $#LAYERS) {
    for my $room (keys %{$LAYERS[$i]}) {
        $layer_of{$room} = $i;
        $room_of{$_} = $room for @{$LAYERS[$i]{$room}};
    }
}

find({no_chdir => 1, wanted => sub {
    return if -d;
    my $file = File::Spec->abs2rel($_, "$top/src");
    $files{$file} = 1;
    open my $in, '<', $_ or die "$_: $!";
    my $line;
    while (<$in>) {
        $line++;
        push @{$includes{$file}}, [$1, $line] if /^\s*#\s*include\s*"([^"]+)"/;
    }
}}, "$top/src");

# Each header's place, by the name that an #include gives it.
my %place = map { basename($_) => $_ } grep { /\.h\z/ } keys %files;

sub room ($) { my $room = dirname($_[0]); return $room eq '.' ? '' : $room }
sub name ($) { $_[0] =~ m{(?:^|/)ngx_http_chatmaid_([a-z0-9_]+)\.[ch]\z} ? $1 : undef }
sub said ($) { $_[0] eq '' ? 'the top' : "$_[0]/" }

# One line for each, so that what is to be done can be read off.
sub none (&$) {
    my ($find, $name) = @_;
    my @found = $find->();
    is(scalar @found, 0, $name) or diag(map { "    $_\n" } @found);
}


# --- The list ----------------------------------------------------------------

none {
    return map {
        my ($name, $room) = (name $_, room $_);
        $_ eq $SHARED || $_ =~ $SCRIPTS ? ()
            : !defined $name || !defined $room_of{$name} ? "src/$_: in no room's list"
            : $room_of{$name} ne $room ? "src/$_: belongs to " . said $room_of{$name}
            : ();
    } sort keys %files;
} 'each file is in the list of its room';

none {
    my %known = map { $_ => 1 } grep { defined } map { name $_ } keys %files;
    return map { said($room_of{$_}) . " lists $_, which is not there" } grep { !$known{$_} } sort keys %room_of;
} 'each name in a list is a file';


# --- Arrows ------------------------------------------------------------------

none {
    my @wrong;
    for my $file (sort keys %includes) {
        for my $include (@{$includes{$file}}) {
            my ($header, $line) = @$include;
            my $to = $place{$header};
            next if ($MADE{$header} // '') eq room $file;
            if (!defined $to) {
                push @wrong, "src/$file:$line: includes \"$header\", which is not in src/";
                next;
            }
            my ($upper, $lower) = (room $file, room $to);
            next if $to eq $SHARED || $file ne $SHARED && $upper eq $lower;
            next if $file ne $SHARED
                && ($layer_of{$upper} // 99) < ($layer_of{$lower} // -1);
            push @wrong, "src/$file:$line: includes $to, " . ($file eq $SHARED ? 'and may include nothing of ours'
                : ($layer_of{$upper} // 99) == ($layer_of{$lower} // -1) ? 'of the room beside' : 'which is above');
        }
    }
    return @wrong;
} 'no arrow up';


# --- Circles -----------------------------------------------------------------

# A name's .c and .h are one thing: what either includes, it depends on.

my %needs;
for my $file (grep { $_ ne $SHARED } keys %includes) {
    for my $include (@{$includes{$file}}) {
        my $to = $place{$include->[0]} // next;
        my ($from, $name) = map { name $_ } $file, $to;
        $needs{$from}{$name} = 1 if defined $from && defined $name && $from ne $name;
    }
}

# The shortest way from a name back to it.
sub circle {
    my ($start) = @_;
    my @ways = [$start];
    my %been;
    while (my $way = shift @ways) {
        for my $next (sort keys %{$needs{$way->[-1]} // {}}) {
            return @$way if $next eq $start;
            push @ways, [@$way, $next] unless $been{$next}++;
        }
    }
    return;
}

none {
    my %found;
    for my $name (sort keys %needs) {
        my @circle = circle($name) or next;
        push @circle, shift @circle until $circle[0] eq (sort @circle)[0];
        $found{join ' -> ', @circle, $circle[0]} = 1;
    }
    return map { "circle: $_" } sort keys %found;
} 'no circle';


# --- config ------------------------------------------------------------------

# As configure runs it, with scripts of nginx's that find all and build nothing.

my $tree = File::Temp->newdir;
mkdir "$tree/$_" for qw(auto objs);
for ([feature => 'ngx_found=yes'],
     [module  => 'printf "%s\n" $ngx_module_srcs >> srcs; printf "%s\n" $ngx_module_deps >> deps'])
{
    open my $out, '>', "$tree/auto/$_->[0]" or die $!;
    print $out "$_->[1]\n";
}

my $said = qx{cd '$tree' && ngx_addon_dir='$top' NGX_OBJS=objs NGX_MACHINE= sh -c '. "\$ngx_addon_dir/config"' 2>&1};
is($?, 0, 'config runs') or diag $said;

sub listed {
    open my $in, '<', "$tree/$_[0]" or return;
    my @files = map { chomp; m{^\Q$top\E/src/(.*)} ? $1 : () } <$in>;
    return @files;
}

my @sources = listed('srcs');
my @wanted  = grep { /\.c\z/ } sort keys %files;
is_deeply([sort @sources], \@wanted, 'config names every source, once');

my %deps = map { $_ => 1 } listed('deps');
is(join(' ', grep { /\.h\z/ && !$deps{$_} } sort keys %files), '', 'and every header, for a rebuild to follow it');

my @order = map { $layer_of{room $_} // 99 } @sources;
is("@order", join(' ', sort { $a <=> $b } @order), 'in the order of the layers');

done_testing;
