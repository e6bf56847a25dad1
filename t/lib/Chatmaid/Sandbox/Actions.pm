package Chatmaid::Sandbox::Actions;

# What each endpoint does, once its caller has been let in: $api is the sandbox,
# $c the request, whose stash holds the caller's account and the journal's record.

use Mojo::Base -strict, -signatures;
use Mojo::JSON qw(decode_json);
use Time::HiRes qw(time);

*iso = \&Chatmaid::Sandbox::Messages::iso;

# Scopes as the docs accept them.  None is published for inbound and groups.
my %SCOPE = (
    send    => qr/^messages:(send|write)$/,
    read    => qr/^messages:read$/,
    phones  => qr/^(phone[_-]numbers:read|messages:.+)$/,
    account => qr/^(account:read|messages:(read|send|write))$/,
);


sub add_routes ($api, $routes) {
    my %actions = (
        'POST /v1/messages/send'          => [send    => \&send_message],
        'GET /v1/messages'                => [read    => \&list_messages],
        'GET /v1/messages/inbound'        => [read    => \&list_inbound],
        'GET /v1/messages/inbound/#id'    => [read    => \&get_inbound],
        'GET /v1/messages/#id'            => [read    => \&get_message],
        'GET /v1/groups'                  => [phones  => \&list_groups],
        'GET /v1/phone-numbers'           => [phones  => \&list_phones],
        'GET /v1/phone-numbers/#id'       => [phones  => \&get_phone],
        'GET /v1/phone-numbers/#id/status'=> [phones  => \&get_phone_status],
        'GET /v1/account'                 => [account => \&get_account],
        'GET /v1/account/usage'           => [account => \&get_usage],
    );

    # "inbound" lies in the path space of message ids and must be tried first.
    for my $route (sort { $a =~ /#/ <=> $b =~ /#/ } sort keys %actions) {
        my ($method, $path)   = split / /, $route;
        my ($scope,  $action) = @{$actions{$route}};
        $routes->any([$method] => $path => sub ($c) {
            $action->($api, $c) if $api->admit($c, $SCOPE{$scope});
        });
    }
}


# --- Sending -----------------------------------------------------------------

sub send_message ($api, $c) {
    my ($account, $record) = @{$c->stash}{qw(account record)};
    my $data = $api->data;

    my $body = eval { decode_json($record->{body}) };
    return $api->refuse($c, 400, 'Body must be a JSON object') if ref $body ne 'HASH';

    my $key   = $body->{idempotencyKey};
    my $entry = ref $key ? undef : $data->original($account, $key);

    if (!$entry) {
        my @wrong = invalid($body);
        return $api->refuse($c, 400, \@wrong) if @wrong;

        # A live send from a phone that is not connected is a 404, not a 400.
        my $phone = $data->find_phone($account, $body->{fromPhoneId});
        return $api->refuse($c, 404, 'Phone number not found') if !$phone
            || $account->{environment} eq 'live' && $phone->{connectionStatus} ne 'connected';

        $entry = $data->create($account, $phone, $body);
        $record->{effect} = 1;
    }

    $entry->{times}++;
    $record->{message_id} = $entry->{message}{id};
    $api->answer($c, 201, {success => \1, data => {%{$entry->{message}}}});
}

sub invalid ($body) {
    my ($from, $to, $content, $media, $key) =
        @$body{qw(fromPhoneId to content mediaUrls idempotencyKey)};
    my $text = sub ($value) { defined $value && !ref $value && length $value };
    my @wrong;

    push @wrong, 'fromPhoneId should not be empty' unless $text->($from);
    push @wrong, 'to must be in E.164 format' unless $text->($to)
        && $to =~ /\A(?:\+[1-9][0-9]{1,14}|[0-9]+(?:-[0-9]+)?\@g\.us)\z/;
    push @wrong, 'content or mediaUrls is required'
        unless $text->($content) || ref $media eq 'ARRAY' && @$media;
    push @wrong, 'content must be a string of at most 4096 characters'
        if defined $content && (ref $content || length $content > 4096);
    push @wrong, 'mediaUrls must be an array of HTTPS URLs'
        if defined $media && (ref $media ne 'ARRAY'
            || grep { ref || !/\Ahttps:\/\/./ } map { $_ // '' } @$media);
    push @wrong, 'idempotencyKey must be a string of at most 64 characters'
        if defined $key && (ref $key || length $key > 64);
    push @wrong, 'environment must not be sent' if exists $body->{environment};

    return @wrong;
}


# --- Reading -----------------------------------------------------------------

sub list_messages ($api, $c) {
    my ($status, $phone) = map { $c->param($_) } qw(status phoneNumberId);
    my $from = $phone && $api->data->find_phone($c->stash('account'), $phone);
    return $api->refuse($c, 400, 'status must be a known status')
        if defined $status && $status !~ /^(pending|sent|delivered|read|failed)$/;

    my @found = grep { !defined $status || $_->{status} eq $status }
                grep { !defined $phone  || $from && $_->{from} eq $from->{phoneNumber} }
                map  { $_->{message} } reverse @{$c->stash('account')->{messages}};
    $api->answer_page($c, @found);
}

sub get_message ($api, $c) {
    my $entry = $c->stash('account')->{by_id}{$c->stash('id')};
    $api->answer_found($c, 'Message', $entry && {%{$entry->{message}}});
}

# Live only: a test key has no handset behind it.

sub list_inbound ($api, $c) {
    my $account = $c->stash('account');
    $api->answer_page($c, $account->{environment} eq 'live' ? @{$account->{inbound}} : ());
}

sub get_inbound ($api, $c) {
    my $account = $c->stash('account');
    my ($found) = grep { $_->{id} eq $c->stash('id') } @{$account->{inbound}};
    $api->answer_found($c, 'Message', $account->{environment} eq 'live' ? $found : undef);
}

sub list_groups ($api, $c) {
    my $from = $c->param('fromPhoneId');
    return $api->refuse($c, 400, 'fromPhoneId should not be empty') unless length($from // '');
    my $phone = $api->data->find_phone($c->stash('account'), $from);
    $api->answer_found($c, 'Phone number', $phone && $c->stash('account')->{groups});
}

sub list_phones ($api, $c) {
    $api->answer($c, 200, {success => \1, data => $c->stash('account')->{phones}});
}

sub get_phone ($api, $c) {
    my $phone = $api->data->find_phone($c->stash('account'), $c->stash('id'));
    $api->answer_found($c, 'Phone number', $phone);
}

sub get_phone_status ($api, $c) {
    my $phone = $api->data->find_phone($c->stash('account'), $c->stash('id'));
    $api->answer_found($c, 'Phone number', $phone && {map { $_ => $phone->{$_} }
        qw(id phoneNumber connectionStatus lastConnectedAt lastDisconnectedAt updatedAt)});
}

sub get_account ($api, $c) {
    my $account = $c->stash('account');
    $api->answer($c, 200, {success => \1, data => {
        accountId => "acc_$account->{name}", name => $account->{name},
        email => 'ops@example.com', subscriptionStatus => 'active',
        stats => {apiKeys  => scalar @{$api->settings->{keys}},
                  phoneNumbers => scalar @{$account->{phones}},
                  messages => scalar @{$account->{messages}}}}});
}

sub get_usage ($api, $c) {
    my $account = $c->stash('account');
    my $period  = $c->param('period') // 'month';
    my $days    = {day => 1, week => 7, month => 30}->{$period}
        or return $api->refuse($c, 400, 'period must be day, week or month');

    my ($total, $failed) = @{$account->{requests}}{qw(total failed)};
    $api->answer($c, 200, {success => \1, data => {
        period      => $period,
        startDate   => iso(time - $days * 86400),
        endDate     => iso(),
        messages    => $api->data->usage($account),
        apiRequests => {total => $total, successful => $total - $failed, failed => $failed}}});
}

1;
